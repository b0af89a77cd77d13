"""The books of light-push are opened as the configuration says."""

from pathlib import Path

import pytest

from appmodel.core.lightpush_push import PushLimits
from appmodel.core.units import Duration
from appmodel.errors import ConfigError
from appmodel.io.database import Database
from appmodel.io.lightpush_attendance import SqlAttendance
from appmodel.io.lightpush_attendance_redis import RedisAttendance
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.io.lightpush_pushes_redis import RedisPushBook
from appmodel.runtime.config import AuthConfig, LightPushConfig, Password, Secret
from appmodel.runtime.lightpush import open_books, open_sealing, push_limits
from appmodel.runtime.settings import Settings

SECRET = Secret("s" * 32)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@on_sqlite
def test_sql_is_the_default(database: Database) -> None:
    """For all of it."""
    with open_books(Settings.of(auth=AuthConfig(secret=SECRET)), database) as books:
        assert isinstance(books.attendance, SqlAttendance)
        assert isinstance(books.pushes, SqlPushBook)


@on_sqlite
def test_redis_takes_what_is_hot(database: Database) -> None:
    """It is not connected to before somebody asks; a wrong URL ends the start."""
    config = LightPushConfig(store="redis", redis=Password("redis://127.0.0.1:1/0"))
    with open_books(Settings.of(lightpush=config), database) as books:
        assert isinstance(books.attendance, RedisAttendance)
        assert isinstance(books.pushes, RedisPushBook)

    wrong = LightPushConfig(store="redis", redis=Password("http://user:pw@x"))
    opening = open_books(Settings.of(lightpush=wrong), database)
    with pytest.raises(ConfigError, match=r"lightpush\.redis"), opening:
        pass


def test_secrets_are_sealed_with_the_secret_of_all_nodes(tmp_path: Path) -> None:
    """From the configuration or its file; without one they lie open, and are read by whoever has one later."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    configured = open_sealing(Settings.of(auth=AuthConfig(secret=SECRET)))
    filed = open_sealing(Settings.of(auth=AuthConfig(secret_file=file)))
    none = open_sealing(Settings.of(auth=AuthConfig(secret_file=tmp_path / "none")))

    assert filed.open(configured.seal("text", "place"), "place") == "text"
    assert none.open(configured.seal("text", "place"), "place") is None
    assert filed.open(none.seal("text", "place"), "place") == "text"


def test_limits_of_a_push_come_from_the_configuration() -> None:
    """In its units."""
    config = LightPushConfig(expire=Duration(60), max_expire=Duration(120))

    assert push_limits(Settings.of(lightpush=config)) == PushLimits(expire=60, max_expire=120)


def test_a_push_cannot_live_longer_by_default_than_at_most() -> None:
    """Nor for no time at all."""
    for expire in (0, 7200):
        with pytest.raises(ValueError, match="expire: expected"):
            LightPushConfig(expire=Duration(expire), max_expire=Duration(3600))

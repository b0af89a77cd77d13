"""The application's database in the life of a process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
from structlog.testing import capture_logs

from appmodel.core.units import Duration
from appmodel.errors import PushError, Unavailable
from appmodel.io.database import Database
from appmodel.orm.people import User
from appmodel.runtime.config import DatabaseConfig, Password
from appmodel.runtime.databases import open_database
from appmodel.runtime.ops import Health
from appmodel.runtime.settings import Settings
from migrations import REVISIONS
from migrations.running import alone
from migrations.state import State, state_of
from tests.databases import a_new_database, limits, make_tables

SERVERS = ["postgresql", "mariadb"]
PATIENCE = 60.0  # seconds after which a test has failed
STEPS = [f"up to {name}" for name in REVISIONS]


@asynccontextmanager
async def opened(
    url: str, health: Health, *parts: str, migrate: bool = True
) -> AsyncIterator[Database]:
    """As a process with these parts opens it; looked at all the time."""
    config = DatabaseConfig(
        url=Password(url),
        migrate=migrate,
        check_interval=Duration(0.01),
        timeout=Duration(PATIENCE),
        connect_timeout=Duration(2),
    )
    settings = Settings.of(database=config)
    async with open_database(settings, frozenset(parts), health) as database:
        yield database


async def reason(health: Health, *, wanted: bool) -> str:
    """Why the process is not ready, as soon as it is not (or is)."""
    await until(lambda: bool(health.reasons()) is wanted)
    return health.reasons().get("database", "")


async def until(is_so: Callable[[], bool]) -> None:
    """What is watched, is asked now and then; so is this."""
    with trio.fail_after(PATIENCE):
        while True:
            if is_so():
                return
            await trio.sleep(0.01)


async def test_a_sqlite_file_is_made_and_migrated(tmp_path: Path) -> None:
    """Whoever starts a node at home has to do nothing. The second time nothing is done."""
    url = f"sqlite:///{tmp_path}/var/app.db"
    for expected in (STEPS, []):
        with capture_logs() as logs:
            async with opened(url, Health(), "comet", "web") as database:
                found = await database.read(lambda s: s.scalars(sa.select(User)).all())
                assert found == []
        assert [entry["migration"] for entry in logs if "migration" in entry] == expected


async def test_nobody_migrates_who_is_told_not_to(tmp_path: Path) -> None:
    """Then the operator does it."""
    health = Health()
    async with opened(f"sqlite:///{tmp_path}/app.db", health, "web", migrate=False):
        assert "run `appmsg migrate`" in await reason(health, wanted=True)


async def test_a_message_node_does_not_touch_the_database(tmp_path: Path) -> None:
    """It has no use for it."""
    async with opened(f"sqlite:///{tmp_path}/app.db", Health(), "message"):
        pass

    assert await trio.Path(tmp_path, "app.db").read_bytes() == b""


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_is_behind_keeps_no_node_from_starting(kind: str) -> None:
    """/readyz says what to do, and is content when it was done."""
    health = Health()
    with a_new_database(kind) as url, capture_logs() as logs:
        async with opened(url, health, "comet") as database:
            said = await reason(health, wanted=True)
            assert said.endswith("has no tables yet: run `appmsg migrate`")
            assert "secret" not in said
            with pytest.raises(Unavailable, match="appmsg migrate"):
                await database.read(lambda s: s.scalars(sa.select(User)).all())

            await trio.to_thread.run_sync(make_tables, url)

            assert await reason(health, wanted=False) == ""
    states = [entry["state"] for entry in logs if "state" in entry]
    assert states[0] == "has no tables yet: run `appmsg migrate`"


async def test_a_server_that_is_away_keeps_no_node_from_starting() -> None:
    """Clients of a comet connect all the same; /readyz tells."""
    health = Health()
    async with opened("postgresql://me:secret@127.0.0.1:1/nothing", health, "comet"):
        said = await reason(health, wanted=True)

    assert said == "the database is away or too slow"


async def test_a_node_stays_ready_when_its_database_is_migrated_to_a_newer_version() -> None:
    """Operators migrate first, and replace the nodes then."""
    health = Health()
    with a_new_database("mariadb") as url:
        make_tables(url)
        set_revision(url, "0099_far")
        with capture_logs() as logs:
            async with opened(url, health, "web"):
                await until(lambda: any("state" in entry for entry in logs))
                assert health.reasons() == {}


async def test_a_sqlite_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """There is one node only, and its program is too old."""
    url = f"sqlite:///{tmp_path}/app.db"
    make_tables(url)
    set_revision(url, "0099_far")

    with pytest.raises(PushError, match="newer version"):
        async with opened(url, Health(), "web"):
            pass


def set_revision(url: str, revision: str) -> None:
    """As a version that does not exist yet would have left it."""
    with alone(limits(url), print) as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        assert state_of(connection) is State.NEWER

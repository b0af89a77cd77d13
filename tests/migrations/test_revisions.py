"""What the revisions make of a database, on each kind of server."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from appmodel.errors import PushError
from appmodel.io.engines import make_engine
from appmodel.orm import Base
from migrations import HEAD, REVISIONS
from migrations.lightpush import METADATA as LIGHTPUSH
from migrations.mpush import METADATA as MPUSH
from migrations.mpush_keys import METADATA as MPUSH_KEYS
from migrations.original import METADATA as ORIGINAL
from migrations.ours import METADATA as OURS
from migrations.running import alone, migrate, step_down
from migrations.state import State, revision_of, state_of
from tests.databases import KINDS, PATIENCE, a_new_database, limits
from tests.migrations.shapes import shape

HINT = "appmodel/orm (what its __init__ imports) and migrations/ must describe the same tables"

CHARSETS = """
SELECT table_name, column_name, character_set_name AS charset FROM information_schema.columns
WHERE table_schema = DATABASE() AND character_set_name IS NOT NULL AND table_name <> 'alembic_version'
"""


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without tables."""
    with a_new_database(str(request.param)) as url:
        yield url


def up(url: str) -> list[str]:
    """What was said."""
    said: list[str] = []
    with alone(limits(url), said.append) as connection:
        migrate(connection, said.append)
    return said


def down(url: str) -> list[str]:
    """What was said."""
    said: list[str] = []
    with alone(limits(url), said.append) as connection:
        step_down(connection, said.append)
    return said


def down_to(url: str, revision: str) -> list[str]:
    """What was said on the way."""
    said: list[str] = []
    while revision_at(url) != revision:
        said += down(url)
    return said


def test_revisions_are_those_of_the_folder() -> None:
    """The list that is asked at each start names them all, in their order."""
    script = ScriptDirectory(migrations.__path__[0])

    found = [revision.revision for revision in script.walk_revisions()]

    assert list(reversed(found)) == list(REVISIONS)


def test_a_migrated_database_is_what_the_models_describe(url: str) -> None:
    """Alembic finds nothing that it would change."""
    up(url)

    with alone(limits(url), print) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == [], HINT


def test_a_migrated_database_looks_like_one_that_the_models_make(url: str) -> None:
    """Alembic does not look at collations, defaults and names of keys; a server tells them."""
    up(url)
    migrated = shape(url)
    while revision_at(url) is not None:
        down(url)

    engine = make_engine(limits(url))
    Base.metadata.create_all(engine)
    engine.dispose()

    assert shape(url) == migrated, HINT


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_text_is_unicode_whatever_the_server_prefers(url: str) -> None:
    """A server whose default is latin1 would refuse a device called \u8bbe\u5907, and so its login."""
    engine = make_engine(limits(url))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER DATABASE CHARACTER SET latin1"))
    up(url)

    with engine.connect() as connection:
        columns = connection.execute(sa.text(CHARSETS)).all()
    engine.dispose()

    assert [one for one in columns if one.charset != "utf8mb4"] == []
    assert len(columns) > 100


def revision_at(url: str) -> str | None:
    """None once it is at the base."""
    with alone(limits(url), print) as connection:
        return revision_of(connection)


def test_every_step_can_be_taken_back_and_again(url: str) -> None:
    """Down to nothing, and up again to the same."""
    up(url)
    newest = shape(url)

    down(url)
    with_keys = shape(url)
    down(url)
    with_mpush = shape(url)
    down(url)
    with_lightpush = shape(url)
    down(url)
    ours = shape(url)
    down(url)
    original = shape(url)
    down(url)

    assert newest != with_keys
    assert newest.keys() == with_keys.keys() == with_mpush.keys() | MPUSH_KEYS.tables.keys()
    assert with_mpush.keys() == with_lightpush.keys() | MPUSH.tables.keys()
    assert with_lightpush.keys() == OURS.tables.keys() | LIGHTPUSH.tables.keys()
    assert ours.keys() == OURS.tables.keys()
    assert original.keys() == ORIGINAL.tables.keys()
    assert shape(url) == {}
    up(url)
    assert shape(url) == newest


def test_down_from_ours_is_the_original(url: str) -> None:
    """Not only its tables: their columns, types and keys."""
    engine = make_engine(limits(url))
    ORIGINAL.create_all(engine)
    expected = shape(url)
    ORIGINAL.drop_all(engine)
    engine.dispose()

    up(url)
    down_to(url, REVISIONS[0])

    assert shape(url) == expected


def test_the_first_revision_is_not_taken_back_while_there_are_rows(url: str) -> None:
    """Its tables may be somebody's."""
    up(url)
    down_to(url, REVISIONS[0])
    with alone(limits(url), print) as connection:
        connection.execute(ORIGINAL.tables["customer"].insert().values(id="c1"))

    with pytest.raises(PushError, match="customer has rows"):
        down(url)

    assert revision_at(url) == REVISIONS[0]


def test_what_a_step_down_loses_is_said(url: str) -> None:
    """With numbers."""
    up(url)
    with alone(limits(url), print) as connection:
        for name, row in LOST:
            connection.execute(TABLES[name].insert().values(**row))

    said = "\n".join(down_to(url, REVISIONS[0]))

    assert "application.token_digest: 1 values are lost" in said
    assert "user.password: 1 hashes are lost" in said
    assert "user.role: 1 values are lost" in said
    assert "quota: 1 rows of days and months are lost" in said
    assert "shield_msg: the table goes, with 1 rows" in said
    assert "nsp_mute: the table goes, with 1 rows" in said
    assert "user.avatar: 1 values were cut to 45 characters" in said or url.startswith("sqlite")


NOW: sa.ColumnClause[Any] = sa.literal_column("CURRENT_TIMESTAMP")
LOST: list[tuple[str, dict[str, Any]]] = [
    (
        "user",
        {
            "id": "u1",
            "password": "$argon2id$" + "x" * 80,
            "avatar": "a" * 60,
            "role": "admin",
            "created": NOW,
            "updated": NOW,
        },
    ),
    (
        "application",
        {"id": "a1", "token_digest": "d" * 64, "description": "", "follow": "", "permissions": ""},
    ),
    ("quota", {"id": "q1", "period": "day"}),
    ("session", {"id": "u1_iOS-" + "d" * 100}),
    ("shield_msg", {"id": "s1"}),
    ("nsp_mute", {"namespace": "/demo", "client": "/demo#u1#web-d1", "room": "r1"}),
]
TABLES = OURS.tables | LIGHTPUSH.tables | MPUSH.tables | MPUSH_KEYS.tables


def test_characters_that_the_original_cannot_hold_become_question_marks() -> None:
    """MySQL's utf8 ends at U+FFFF. It stops no step down."""
    with a_new_database("mariadb") as url:
        up(url)
        with alone(limits(url), print) as connection:
            connection.execute(OURS.tables["customer"].insert().values(id="c1", name="🙂"))

        down_to(url, REVISIONS[0])

        with alone(limits(url), print) as connection:
            assert connection.scalar(sa.select(ORIGINAL.tables["customer"].c.name)) == "?"


def test_a_second_time_nothing_is_done(url: str) -> None:
    """`appmsg migrate` may be run as often as one likes."""
    up(url)

    assert up(url) == []


def test_who_comes_while_another_one_migrates_waits_and_finds_nothing_to_do(url: str) -> None:
    """Two nodes that start at once, or two operators."""
    said: list[str] = []
    failures: list[BaseException] = []
    waits = threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        waits.set()

    def second() -> None:
        try:
            with alone(limits(url), hear) as connection:
                migrate(connection, hear)
        except BaseException as error:
            failures.append(error)

    with alone(limits(url), print) as connection:
        thread = threading.Thread(target=second)
        thread.start()
        assert url.startswith("sqlite") or waits.wait(PATIENCE)  # its lock says nothing
        migrate(connection, lambda line: None)
    thread.join()

    assert failures == []
    assert not [line for line in said if line.startswith("up to")]
    assert revision_at(url) == HEAD


def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    """What its tables mean is not known here."""
    up(url)
    with alone(limits(url), print) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0099_far'"))
        assert state_of(connection) is State.NEWER

    with pytest.raises(PushError, match="newer version"):
        up(url)
    with pytest.raises(PushError, match="newer version"):
        down(url)


def test_the_originals_tables_are_not_taken_for_ours(url: str) -> None:
    """They are adopted, not made."""
    engine = make_engine(limits(url))
    ORIGINAL.create_all(engine)
    engine.dispose()

    with pytest.raises(PushError, match="appmsg migrate adopt"):
        up(url)


class Broken(Exception):
    """Stands for a kill in the middle."""


@pytest.mark.parametrize("after", [8, 60, 250])
def test_an_interrupted_migration_goes_on_when_it_is_run_again(url: str, after: int) -> None:
    """Wherever it was interrupted; MariaDB has done half of it."""
    statements = itertools.count()

    def break_off(*_: object) -> None:
        if next(statements) == after:
            raise Broken

    sa.event.listen(sa.Engine, "before_cursor_execute", break_off)
    try:
        up(url)
    except Broken:
        pass
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", break_off)

    up(url)

    assert revision_at(url) == HEAD
    assert shape(url).keys() == TABLES.keys()

"""A database that appmsgsrv has made and used for years becomes ours."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from pymysql.constants import CLIENT

from appmodel.core.application_tokens import digest_of
from appmodel.errors import PushError
from appmodel.io.engines import make_engine
from migrations import HEAD
from migrations.adopting import adopt
from migrations.original import METADATA as ORIGINAL
from migrations.ours import METADATA as OURS
from migrations.running import alone
from migrations.state import revision_of
from tests.databases import KINDS, a_new_database, limits, make_tables
from tests.migrations.shapes import shape

DATA = Path(__file__).parents[1] / "data"
TABLES, ROWS = "appmsgsrv.sql", "appmsgsrv_rows.sql"


@pytest.fixture
def url() -> Iterator[str]:
    """A database of the original on MariaDB, with all that years of use leave there."""
    with a_new_database("mariadb") as url:
        run(url, TABLES, ROWS)
        yield url


def run(url: str, *files: str) -> None:
    """What these files say, as MySQL of 2014 takes it."""
    where = sa.make_url(url)
    connection = pymysql.connect(
        host=str(where.host),
        port=int(where.port or 0),
        user=str(where.username),
        password=str(where.password),
        database=where.database,
        charset="utf8mb4",
        sql_mode="",
        client_flag=CLIENT.MULTI_STATEMENTS,
    )
    with connection, connection.cursor() as cursor:
        for file in files:
            cursor.execute((DATA / file).read_text("utf-8"))
            while cursor.nextset():
                pass
        connection.commit()


def taken_over(url: str) -> list[str]:
    """What was said."""
    said: list[str] = []
    with alone(limits(url), said.append) as connection:
        adopt(connection, said.append)
    return said


def rows(url: str, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of all rows, in order."""
    with alone(limits(url), print) as connection:
        chosen = [OURS.tables[table].c[name] for name in columns]
        found = connection.execute(sa.select(*chosen)).all()
    return sorted((tuple(row) for row in found), key=str)


def test_an_adopted_database_is_like_one_of_ours(url: str) -> None:
    """Its tables, their columns, types, collations and keys; what is the message store's is left alone."""
    taken_over(url)
    adopted = shape(url)

    with a_new_database("mariadb") as ours:
        make_tables(ours)
        expected = shape(ours)
    assert {name: adopted[name] for name in expected} == expected
    assert adopted.keys() - expected.keys() == {"private_msg"}
    assert {name[:3] for name in adopted["private_msg"]["indexes"]} == {"ux_", "ix_"}


def test_operators_are_told_what_was_done_and_what_they_have_to_do(url: str) -> None:
    """Every row that was changed by a guess of ours, and everybody who will have trouble."""
    said = taken_over(url)

    assert said == EXPECTED.splitlines()


EXPECTED = """\
up to 0002_our_tables
api_call: 2 missing values got their defaults
api_call: 2 rows had an id that others had too, and got new ones
api_call: 1 rows removed, there is another one for the same counter; they were added up
apns_token: 1 missing values got their defaults
apns_token: 2 rows without a token removed
apns_token: 1 rows removed, there is another one for the same device token
application: 33 missing values got their defaults
client: 2 rows removed, there is another one for the same device
client_version: 3 missing values got their defaults
client_version: 1 rows removed, there is another one for the same version
customer: 1 missing values got their defaults
file_link: 1 missing values got their defaults
file_link: 1 rows removed, there is another one for the same sender and file
operation: 3 missing values got their defaults
org_user: 1 rows removed, there is another one for the same department and user
push_cnt: 1 missing values got their defaults
push_cnt: 1 rows removed, there is another one for the same counter; they were added up
qun: 1 missing values got their defaults
qun_user: 2 rows removed, there is another one for the same group and user
quota: 1 missing values got their defaults
quota: 1 rows removed, there is another one for the same limit
resource: 2 missing values got their defaults
session: 2 missing values got their defaults
tenant: 1 missing values got their defaults
user_user: 2 missing values got their defaults
user_user: 1 rows removed, there is another one for the same contact
application a2 had the token of another one: give it a new one
application: 2 tokens are kept as their digests from now on
qun_user: 3 members are no owners: the group is its creator's
org: 4 departments have a new location
session: 2 rows removed: comets tell anew who is connected
up to 0003_lightpush
up to 0004_mpush
up to 0005_mpush_keys
up to 0006_lightpush_turns
4 users have an old password: it is replaced when they log in
1 users have no password and cannot log in
2 users cannot log in: their id has "_" or "@" in it
1 login names belong to several users
1 groups have no owner: their creator has left
1 members of groups are no users that we know
0 departments found no place"""


def test_of_rows_that_say_the_same_one_stays(url: str) -> None:
    """Which one is told by its times. Ids that differ in case are different ids."""
    taken_over(url)

    members = [
        ("g1", "u1", 0),
        ("g1", "u2", 2),
        ("g1", "u3", 1),
        ("g2", "gone", 2),
        ("g2", "u2", 2),
    ]
    assert rows(url, "qun_user", "qun_id", "user_id", "role") == members
    assert ("4",) in rows(url, "qun_user", "id")
    assert rows(url, "org_user", "id") == [("2",), ("3",), ("4",), ("5",)]
    assert rows(url, "user_user", "id", "remark_name") == [("2", "Bobby"), ("3", "")]
    assert rows(url, "client", "id") == [("2",)]
    assert rows(url, "client_version", "id") == [("2",)]
    assert rows(url, "apns_token", "user_id", "apns_token") == [("u2", "aa11")]
    assert rows(url, "quota", "id", "value") == [("2", "200"), ("3", "-1")]
    assert rows(url, "file_link", "id", "size") == [("2", 9)]


def test_counters_of_the_same_are_added_up(url: str) -> None:
    """The original counts without a key, and now and then twice."""
    taken_over(url)

    calls = [("a1", "app", 5), ("u1", "", 0), ("u1", "ios", 7)]
    assert rows(url, "api_call", "caller_id", "type", "count") == calls
    assert rows(url, "push_cnt", "push_type", "count") == [("", 1), ("@user", 5)]


def test_tokens_of_applications_are_kept_as_digests(url: str) -> None:
    """Of two with the same token one keeps it; the texts are gone."""
    taken_over(url)

    found = rows(url, "application", "id", "token", "token_digest")

    assert found == [
        ("a1", None, digest_of("T1")),
        ("a2", None, None),
        ("a3", None, digest_of("t1")),
        ("a4", None, None),
        ("a5", None, None),
    ]


def test_departments_get_right_locations(url: str) -> None:
    """What was right stays; what was moved is where it belongs now, with all that is below it."""
    taken_over(url)

    assert rows(url, "org", "id", "location") == [
        ("o1", "00"),
        ("o2", "0000"),
        ("o3", "000000"),
        ("o4", "00000000"),
        ("o5", "01"),
        ("o6", "02"),
        ("x1", "00"),
    ]


def test_values_that_were_missing_have_their_defaults(url: str) -> None:
    """NULLs, and MySQL's times that never were."""
    taken_over(url)

    assert rows(url, "tenant", "id", "customer_id") == [("t1", "c1"), ("t2", "")]
    assert rows(url, "qun", "id", "max_member", "tenant_id") == [("g1", 100, "t1"), ("g2", 100, "")]
    created = {id: str(time) for id, time in rows(url, "user", "id", "created")}
    assert created["u1"] == "2015-01-01 00:00:00"
    assert created["u2"] == "1970-01-01 00:00:00"
    assert rows(url, "user", "nickname")[-1] == ("安妮",)
    assert rows(url, "session", "id") == []


@pytest.mark.parametrize("after", [3, 60, 110, 230])
def test_an_interrupted_adoption_goes_on_to_the_same_end(url: str, after: int) -> None:
    """Wherever it was interrupted: nothing is counted twice, nothing is lost."""
    statements = itertools.count()

    def break_off(*_: object) -> None:
        if next(statements) == after:
            raise ConnectionAbortedError

    sa.event.listen(sa.Engine, "before_cursor_execute", break_off)
    try:
        with pytest.raises(ConnectionAbortedError):
            taken_over(url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", break_off)
    taken_over(url)

    with a_new_database("mariadb") as other:
        run(other, TABLES, ROWS)
        taken_over(other)
        for name, table in OURS.tables.items():
            assert rows(url, name, *table.columns.keys()) == rows(
                other, name, *table.columns.keys()
            )


@pytest.mark.parametrize("name", ["session", "user"])
def test_tables_are_found_in_upper_case(url: str, name: str) -> None:
    """On some servers the names of tables tell it from lower case, and the original writes SESSION too."""
    execute(url, f"RENAME TABLE `{name}` TO {name.upper()}")

    said = taken_over(url)

    assert f"table {name.upper()} is called {name} now" in said
    assert name in shape(url)


def test_a_name_in_lower_case_goes_first(url: str) -> None:
    """Who has both, has found out the hard way which one comets write."""
    execute(url, "CREATE TABLE SESSION LIKE session")

    taken_over(url)

    assert {"SESSION", "session"} <= shape(url).keys()


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DROP TABLE qun", "table qun"),
        ("ALTER TABLE user DROP COLUMN mobile", "user.mobile"),
    ],
)
def test_what_is_no_database_of_the_original_is_left_alone(
    url: str, statement: str, missing: str
) -> None:
    """It is told by what is missing, and nothing is changed."""
    execute(url, statement)
    before = shape(url)

    with pytest.raises(PushError, match=missing):
        taken_over(url)

    assert shape(url) == before


@pytest.mark.parametrize("table", ["group_msg", "public_msg", "public_msg_log"])
def test_tables_of_messages_may_be_elsewhere(url: str, table: str) -> None:
    """gopush-cluster.sql makes them in a database of their own."""
    execute(url, f"DROP TABLE {table}")

    taken_over(url)

    assert table in shape(url)


def test_tables_that_operators_have_made_themselves_are_kept(url: str) -> None:
    """The original's code reads tables and columns that install.sql lacks."""
    execute(url, "ALTER TABLE application ADD description text, ADD follow varchar(2000)")
    execute(url, "UPDATE application SET description = 'all about it' WHERE id = 'a1'")
    execute(
        url,
        "CREATE TABLE shield_msg (id varchar(64), source_id varchar(64), target_id varchar(99))",
    )
    execute(url, "INSERT INTO shield_msg VALUES ('1', 'u1', 'a1'), ('2', 'u1', 'a1')")
    execute(url, "CREATE INDEX mine ON user (mobile)")
    execute(url, "ALTER TABLE user ADD badge int")

    taken_over(url)

    assert ("a1", "all about it") in rows(url, "application", "id", "description")
    assert rows(url, "shield_msg", "source_id", "target_id", "type") == [("u1", "a1", 0)]
    assert shape(url)["user"]["indexes"]["mine"] == ["mobile"]
    assert "badge" in shape(url)["user"]["columns"]


def execute(url: str, statement: str) -> None:
    """As its operators do."""
    engine = make_engine(limits(url))
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_was_moved_elsewhere_is_adopted_there(kind: str) -> None:
    """Its tables copied to another kind of server, with a few rows that are twice there."""
    with a_new_database(kind) as url:
        engine = make_engine(limits(url))
        ORIGINAL.create_all(engine)
        with engine.begin() as connection:
            for id in ("1", "2"):
                member = {"id": id, "qun_id": "g1", "user_id": "u1"}
                connection.execute(ORIGINAL.tables["qun_user"].insert().values(member))
                counted = {"id": "", "caller_id": "u1", "count": 3}
                connection.execute(ORIGINAL.tables["api_call"].insert().values(counted))
        engine.dispose()

        said = taken_over(url)

        assert rows(url, "qun_user", "id") == [("1",)]
        assert rows(url, "api_call", "caller_id", "count") == [("u1", 6)]
        assert "1 groups have no owner: their creator has left" not in said
        with alone(limits(url), print) as connection:
            assert revision_of(connection) == HEAD


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_empty_or_ours_is_not_adopted(kind: str) -> None:
    """There is another command for it."""
    with a_new_database(kind) as url:
        with pytest.raises(PushError, match="appmsg migrate"):
            taken_over(url)

        make_tables(url)

        with pytest.raises(PushError, match="ours already"):
            taken_over(url)

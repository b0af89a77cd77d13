"""Namespaces of light-push in SQL: what a save changes, what is found, and what a copy of the database tells."""

from functools import partial

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.lightpush_records import (
    ApnsChange,
    ApnsConfig,
    Hidden,
    Namespace,
    NamespaceChange,
    NamespaceQuery,
)
from appmodel.core.lightpush_stores import MAX_APNS
from appmodel.core.sealing import Sealing
from appmodel.errors import LimitReached
from appmodel.io.database import Database
from appmodel.io.lightpush_namespaces import SqlNamespaces
from appmodel.orm.lightpush import Nsp, NspApns

NOW = 1_793_233_999_000


@pytest.fixture
def namespaces(database: Database) -> SqlNamespaces:
    """None yet."""
    return SqlNamespaces(database, Sealing(b"s" * 32))


async def one(namespaces: SqlNamespaces, key: str = "/demo") -> Namespace:
    """It must be there."""
    return (await namespaces.find([key]))[key]


async def test_a_save_makes_a_namespace_and_changes_it(namespaces: SqlNamespaces) -> None:
    """A new one is not offline, whatever is said; later only what is given changes."""
    made = NamespaceChange(
        name="Demo", auth_passwd=Hidden("p:w"), callback_auth=Hidden("Basic x"), is_offline=True
    )
    await namespaces.save("/demo", made, now=NOW)

    first = await one(namespaces)
    assert (first.key, first.name, first.is_offline, first.update_date) == (
        "/demo",
        "Demo",
        False,
        NOW,
    )
    assert first.callback_auth == "Basic x"
    assert first.connect_callback is None

    change = NamespaceChange(connect_callback="https://x/", callback_auth=None, is_offline=True)
    await namespaces.save("/demo", change, now=NOW + 1)

    second = await one(namespaces)
    assert (second.name, second.connect_callback) == ("Demo", "https://x/")
    assert (second.is_offline, second.callback_auth, second.update_date) == (True, None, NOW + 1)
    assert await namespaces.find(["/other"]) == {}


async def test_a_password_proves_one_namespace(namespaces: SqlNamespaces) -> None:
    """The right one, of this namespace; one without a password cannot log in at all."""
    for key in ("/a", "/b"):
        await namespaces.save(key, NamespaceChange(auth_passwd=Hidden(f"pw {key}")), now=NOW)
    await namespaces.save("/c", NamespaceChange(), now=NOW)
    await namespaces.save("/b", NamespaceChange(auth_passwd=Hidden("")), now=NOW)

    a, b, c = [await one(namespaces, key) for key in ("/a", "/b", "/c")]

    assert namespaces.has_password(a, "pw /a")
    assert not namespaces.has_password(a, "pw /b")
    assert not any(namespaces.has_password(x, text) for x in (b, c) for text in ("", "pw /b"))
    assert await namespaces.passwords(["/a", "/b", "/c"]) == {"/a": "pw /a"}


async def test_a_copy_of_the_database_tells_no_secret(
    namespaces: SqlNamespaces, database: Database
) -> None:
    """Nor does a log line of what was read; with another auth.secret nothing can be opened."""
    change = NamespaceChange(
        auth_passwd=Hidden("SECRET-1"),
        callback_auth=Hidden("SECRET-2"),
        apns=[ApnsChange(name="main", token_key=Hidden("SECRET-3"), topic="t")],
    )
    await namespaces.save("/demo", change, now=NOW)

    rows = await database.read(
        lambda session: [
            *session.execute(sa.select(*Nsp.__table__.columns)).all(),
            *session.execute(sa.select(*NspApns.__table__.columns)).all(),
        ]
    )
    others = SqlNamespaces(database, Sealing(b"o" * 32))

    assert "SECRET" not in repr(rows)
    assert "SECRET" not in repr([await one(namespaces), await namespaces.apns(["/demo"])])
    stranger = await one(others)
    assert stranger.callback_auth is None
    assert not others.has_password(stranger, "SECRET-1")
    assert await others.passwords(["/demo"]) == {}
    assert (await others.apns(["/demo"]))["/demo"] == [ApnsConfig("main", topic="t")]


async def test_ways_to_apple_are_merged_by_name(namespaces: SqlNamespaces) -> None:
    """New ones behind the others, known ones field by field, and deleted ones gone."""
    first = [
        ApnsChange(name="a", topic="t", dev_cert=Hidden("c"), dev_key=Hidden("k")),
        ApnsChange(name="b", environment="production"),
    ]
    await namespaces.save("/demo", NamespaceChange(apns=first), now=NOW)
    second = [
        ApnsChange(name="b", is_deleted=True),
        ApnsChange(name="none", is_deleted=True),
        ApnsChange(name="c", token_key=Hidden("p8"), token_key_id="id"),
        ApnsChange(name="a", topic=None, dev_key=Hidden("k2")),
        ApnsChange(name="b", expiration="5"),
    ]
    await namespaces.save("/demo", NamespaceChange(apns=second), now=NOW)

    found = await namespaces.apns(["/demo", "/other"])

    assert found == {
        "/demo": [
            ApnsConfig("a", dev_cert=Hidden("c"), dev_key=Hidden("k2")),
            ApnsConfig("c", token_key=Hidden("p8"), token_key_id="id"),
            ApnsConfig("b", expiration="5"),
        ]
    }


async def test_ways_to_apple_are_bounded(namespaces: SqlNamespaces) -> None:
    """One too many, and nothing of the save has happened."""
    many = [ApnsChange(name=f"n{n}") for n in range(MAX_APNS + 1)]

    with pytest.raises(LimitReached, match="apns_list"):
        await namespaces.save("/demo", NamespaceChange(name="x", apns=many), now=NOW)

    assert await namespaces.find(["/demo"]) == {}


async def test_saves_at_once_lose_nothing(namespaces: SqlNamespaces) -> None:
    """Each changes something else (W37); the namespace is new to all of them."""
    async with trio.open_nursery() as nursery:
        for n in range(4):
            change = NamespaceChange(apns=[ApnsChange(name=f"n{n}", topic="t")])
            nursery.start_soon(partial(namespaces.save, "/demo", change, now=NOW))

    assert {config.name for config in (await namespaces.apns(["/demo"]))["/demo"]} == {
        "n0",
        "n1",
        "n2",
        "n3",
    }


async def test_a_list_is_searched_page_by_page(namespaces: SqlNamespaces) -> None:
    """By parts of key and name, also where there is no name; "_" and "%" mean themselves."""
    for key, name in (("/b_1", "Berta"), ("/a", "Anna"), ("/b%2", None), ("/bx1", "Bert")):
        await namespaces.save(key, NamespaceChange(name=name), now=NOW)
    await namespaces.save("/a", NamespaceChange(is_offline=True), now=NOW)

    async def keys(query: NamespaceQuery, offset: int = 0, limit: int = 9) -> tuple[list[str], int]:
        found, total = await namespaces.page(query, offset=offset, limit=limit)
        return [each.key for each in found], total

    assert await keys(NamespaceQuery()) == (["/a", "/b%2", "/b_1", "/bx1"], 4)
    assert await keys(NamespaceQuery(), offset=1, limit=2) == (["/b%2", "/b_1"], 4)
    assert await keys(NamespaceQuery(key="b_")) == (["/b_1"], 1)
    assert await keys(NamespaceQuery(key="%")) == (["/b%2"], 1)
    assert await keys(NamespaceQuery(name="ert")) == (["/b_1", "/bx1"], 2)
    assert await keys(NamespaceQuery(is_offline=True)) == (["/a"], 1)
    assert await keys(NamespaceQuery(key="/b", is_offline=True)) == ([], 0)


async def test_caches_hear_of_every_change(namespaces: SqlNamespaces, database: Database) -> None:
    """Under the namespace's name, when it is committed."""
    heard: list[str] = []
    database.on_change(heard.extend)

    await namespaces.save("/demo", NamespaceChange(apns=[ApnsChange(name="a")]), now=NOW)
    assert await namespaces.remove("/demo")
    assert not await namespaces.remove("/none")

    assert heard == ["nsp:/demo", "nsp:/demo", "nsp:/none"]
    assert await namespaces.find(["/demo"]) == {}
    assert await namespaces.apns(["/demo"]) == {}

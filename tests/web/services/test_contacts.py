"""Contacts and mutes on real databases."""

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.mutes import ShieldType
from appmodel.errors import BadInput, LimitReached, NotFound
from appmodel.io.database import Database
from appmodel.orm import contact_queries
from appmodel.orm.applications import Application
from appmodel.orm.changes import Change
from appmodel.orm.contacts import ShieldMsg, UserUser
from appmodel.orm.groups import Qun
from tests.web.group_people import add_users, many_threads, user
from web.config import GroupsConfig
from web.core.groups import ContactChange, MuteChange
from web.core.paging import Paging
from web.services.contacts import Contacts, Mutes

ANN, BOB, ZOE = user("ann"), user("bob"), user("zoe", "t2")
USER, APPLICATION, GROUP = ShieldType
ALL = Paging()
PLAIN = ContactChange()


@pytest.fixture
async def contacts(database: Database) -> Contacts:
    """Of four users of tenant t1, and one of t2."""
    await add_users(database, "ann", "bob", "cyd", "dan")
    await add_users(database, "zoe", tenant="t2")
    return Contacts(database, GroupsConfig(contacts=3))


@pytest.fixture
async def mutes(database: Database) -> Mutes:
    """The same users, an application and a group of t1."""
    await add_users(database, "ann", "bob", "cyd", "dan")
    await add_users(database, "zoe", tenant="t2")
    rows = [Application(id="a1", tenant_id="t1"), Qun(id="g1", tenant_id="t1")]
    await database.write(lambda session: session.add_all(rows))
    return Mutes(database, GroupsConfig(mutes=3))


async def count(database: Database, model: type[UserUser | ShieldMsg]) -> int:
    wanted = sa.select(sa.func.count()).select_from(model)
    return await database.read(lambda session: session.scalar(wanted) or 0)


async def notes(database: Database) -> list[str]:
    wanted = sa.select(Change.subject).order_by(Change.position)
    return await database.read(lambda session: list(session.scalars(wanted)))


async def test_starred(contacts: Contacts) -> None:
    """One-directional; remark and order stay when they are not given; listed by order, then uid."""
    await contacts.star(ANN, "cyd", PLAIN)
    await contacts.star(ANN, "bob", ContactChange(remark="老王", sort=2))

    again = await contacts.star(ANN, "bob", PLAIN)
    await contacts.star(ANN, "dan", ContactChange(sort=-1))

    listed = await contacts.page(ANN, ALL)
    assert (again.remark, again.sort) == ("老王", 2)
    assert [(one.person.uid, one.sort) for one in listed] == [("dan", -1), ("cyd", 0), ("bob", 2)]
    assert [one.person.uid for one in await contacts.page(ANN, Paging(5, (0, "cyd")))] == ["bob"]
    assert await contacts.page(BOB, ALL) == []


async def test_starred_by_many_calls_at_once(database: Database, contacts: Contacts) -> None:
    """One row, and no call fails: each meant the same."""
    with many_threads(database) as crowd:
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(Contacts(crowd, GroupsConfig()).star, ANN, "bob", PLAIN)

    assert await count(database, UserUser) == 1


async def test_no_contact_any_more(contacts: Contacts) -> None:
    """Also when he was none, or is nobody."""
    await contacts.star(ANN, "bob", PLAIN)

    for uid in ("bob", "bob", "nobody"):
        await contacts.unstar(ANN, uid)

    assert await contacts.page(ANN, ALL) == []


async def test_stars_that_are_refused(database: Database, contacts: Contacts) -> None:
    """Nobody of another tenant, nobody who is not there, and no more than the limit."""
    for uid in ("zoe", "nobody"):
        with pytest.raises(NotFound, match=uid):
            await contacts.star(ANN, uid, PLAIN)
    with pytest.raises(BadInput, match="remark"):
        await contacts.star(ANN, "bob", ContactChange(remark="x" * 46))
    with pytest.raises(BadInput, match="sort"):
        await contacts.star(ANN, "bob", ContactChange(sort=2**31))
    for uid in ("ann", "bob", "cyd"):
        await contacts.star(ANN, uid, PLAIN)
    with pytest.raises(LimitReached, match="3 are starred"):
        await contacts.star(ANN, "dan", PLAIN)

    await contacts.star(ANN, "bob", ContactChange(remark="still"))
    assert await count(database, UserUser) == 3


async def test_muted(database: Database, mutes: Mutes) -> None:
    """By type and id; all nodes are told; once is enough."""
    await mutes.mute(ANN, APPLICATION, "a1", MuteChange("noise"))
    await mutes.mute(ANN, APPLICATION, "a1", MuteChange())
    await mutes.mute(ANN, USER, "bob", MuteChange())
    await mutes.mute(ANN, GROUP, "g1", MuteChange())

    listed = await mutes.page(ANN, ALL)
    assert [(row.type, row.target_id, row.memo) for row in listed] == [
        (USER, "bob", ""),
        (APPLICATION, "a1", "noise"),
        (GROUP, "g1", ""),
    ]
    assert await mutes.is_muted(ANN, APPLICATION, "a1")
    assert not await mutes.is_muted(BOB, APPLICATION, "a1")
    assert not await mutes.is_muted(ANN, USER, "a1")
    assert set(await notes(database)) == {"mute:a1", "mute:bob", "mute:g1"}


async def test_muted_by_many_calls_at_once(database: Database, mutes: Mutes) -> None:
    """One row, and no call fails."""
    with many_threads(database) as crowd:
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(
                    Mutes(crowd, GroupsConfig()).mute, ANN, APPLICATION, "a1", MuteChange()
                )

    assert await count(database, ShieldMsg) == 1


async def test_heard_again(database: Database, mutes: Mutes) -> None:
    """Idempotent; what changed nothing is not noted."""
    await mutes.mute(ANN, APPLICATION, "a1", MuteChange())
    await mutes.mute(BOB, APPLICATION, "a1", MuteChange())

    for _ in range(2):
        await mutes.unmute(ANN, APPLICATION, "a1")
    await mutes.unmute(ANN, USER, "nobody")

    assert not await mutes.is_muted(ANN, APPLICATION, "a1")
    assert await mutes.is_muted(BOB, APPLICATION, "a1")
    assert await notes(database) == ["mute:a1"] * 3


async def test_mutes_that_are_refused(database: Database, mutes: Mutes) -> None:
    """Only what is in the tenant, and no more than the limit."""
    wrong = [(USER, "zoe"), (USER, "a1"), (APPLICATION, "g1"), (GROUP, "bob"), (GROUP, "x")]
    for type_, target in wrong:
        with pytest.raises(NotFound, match=target):
            await mutes.mute(ANN, type_, target, MuteChange())
    with pytest.raises(NotFound):
        await mutes.mute(ZOE, APPLICATION, "a1", MuteChange())
    with pytest.raises(BadInput, match="memo"):
        await mutes.mute(ANN, USER, "bob", MuteChange("x" * 256))
    for uid in ("bob", "cyd", "dan"):
        await mutes.mute(ANN, USER, uid, MuteChange())
    with pytest.raises(LimitReached, match="3 are set"):
        await mutes.mute(ANN, APPLICATION, "a1", MuteChange())

    assert await count(database, ShieldMsg) == 3


async def test_a_user_is_forgotten(database: Database, contacts: Contacts) -> None:
    """Nobody stars or mutes him any more, and he nobody; what others have among themselves stays."""
    mutes = Mutes(database, GroupsConfig())
    rows = [Application(id="a1", tenant_id="t1"), Application(id="ann", tenant_id="t1")]
    await database.write(lambda session: session.add_all(rows))
    for one, other in ((ANN, "bob"), (BOB, "ann"), (BOB, "cyd")):
        await contacts.star(one, other, PLAIN)
        await mutes.mute(one, USER, other, MuteChange())
    await mutes.mute(ANN, APPLICATION, "a1", MuteChange())
    await mutes.mute(BOB, APPLICATION, "ann", MuteChange())  # an application of the same id
    before = len(await notes(database))

    await database.write(lambda session: contact_queries.forget_users(session, ["ann"]))

    assert await contacts.page(ANN, ALL) == []
    assert [one.person.uid for one in await contacts.page(BOB, ALL)] == ["cyd"]
    assert await mutes.page(ANN, ALL) == []
    kept = [(row.type, row.target_id) for row in await mutes.page(BOB, ALL)]
    assert kept == [(USER, "cyd"), (APPLICATION, "ann")]
    assert (await notes(database))[before:] == ["mute:a1", "mute:ann", "mute:bob"]

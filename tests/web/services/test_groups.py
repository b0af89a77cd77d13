"""Groups on real databases: what a change leaves behind, who may make it, and many at once."""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.credentials import Caller
from appmodel.core.groups import Role
from appmodel.errors import (
    BadInput,
    ConfigError,
    Conflict,
    Forbidden,
    LimitReached,
    NotFound,
    NotMember,
    PushError,
    Unavailable,
)
from appmodel.io.database import Database
from appmodel.orm import group_queries
from appmodel.orm.changes import Change
from appmodel.orm.groups import Qun, QunUser
from tests.web.group_people import Post, a_group, add_users, groups_on, many_threads, user
from web.config import GroupsConfig
from web.core.groups import GroupChange, NewGroup
from web.core.paging import Paging
from web.core.principals import AppCaller, Operator, Permission, Principal
from web.services.groups import Groups

ANN, BOB, CYD, DAN, EVE = map(user, ["ann", "bob", "cyd", "dan", "eve"])
OPERATOR = Operator(Caller("x", "", frozenset({"admin"}), "", 0, 1))
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
async def groups(database: Database, post: Post) -> Groups:
    """Over five users of tenant t1, and one of t2."""
    await add_users(database, "ann", "bob", "cyd", "dan", "eve")
    await add_users(database, "zoe", tenant="t2")
    return groups_on(database, post)


async def roles(database: Database, group_id: str) -> dict[str, Role]:
    return await database.read(lambda session: group_queries.roles(session, group_id, "t1"))


async def notes(database: Database) -> list[str]:
    wanted = sa.select(Change.subject).order_by(Change.position)
    return await database.read(lambda session: list(session.scalars(wanted)))


async def test_a_new_group(database: Database, groups: Groups, post: Post) -> None:
    """Its creator owns it, the others are members, each once; the creator is told, all nodes are too."""
    wanted = NewGroup(name="午餐 🍜", owner_id="ann", user_ids=["bob", "ann", "bob"])

    group = await groups.create(ANN, "t1", wanted)

    found = await groups.see(BOB, "t1", group.id)
    assert await roles(database, group.id) == {"ann": Role.OWNER, "bob": Role.MEMBER}
    assert (found.name, found.creator_id, found.tenant_id) == ("午餐 🍜", "ann", "t1")
    assert (found.max_member, found.description, found.avatar) == (100, "", "")
    assert post.told() == {"ann": ['You created the group "午餐 🍜"']}
    assert await notes(database) == [f"{group.id}@qun"]


REFUSED: list[tuple[dict[str, Any], type[PushError], str]] = [
    ({"name": "x" * 46}, BadInput, "name"),
    ({"name": "a\nb"}, BadInput, "name"),
    ({"description": "x" * 256}, BadInput, "description"),
    ({"avatar": "x" * 256}, BadInput, "avatar"),
    ({"user_ids": ["nobody"]}, NotFound, "'nobody'"),
    ({"user_ids": ["zoe"]}, NotFound, "'zoe'"),
    ({"user_ids": ["a\0"]}, BadInput, r"user_ids\[0\]"),
    ({"user_ids": [str(n) for n in range(1001)]}, BadInput, "1001 of them"),
    ({"owner_id": "bob"}, Forbidden, "owner_id"),
    ({"max_member": 0}, BadInput, "max_member"),
    ({"max_member": 10_001}, BadInput, "max_member"),
    ({"max_member": 2, "user_ids": ["bob", "cyd"]}, LimitReached, "max_member = 2"),
]


@on_sqlite
@pytest.mark.parametrize(("wanted", "error", "text"), REFUSED)
async def test_a_group_that_is_not_made(
    database: Database,
    groups: Groups,
    post: Post,
    wanted: dict[str, Any],
    error: type[PushError],
    text: str,
) -> None:
    """Nothing is there then, and nobody was told."""
    with pytest.raises(error, match=text):
        await groups.create(ANN, "t1", NewGroup(**{"name": "x", "owner_id": "ann"} | wanted))

    assert await groups.of_tenant("t1", Paging()) == []
    assert not post.batches


@on_sqlite
async def test_keepers_create_groups_for_others(
    database: Database, groups: Groups, post: Post
) -> None:
    """They say who owns it; somebody of the tenant. An application needs sync for it."""
    app = AppCaller("a1", "A", "t1", "", frozenset({Permission.SYNC}))
    for keeper in (OPERATOR, app, user("eve", role="admin")):
        group = await groups.create(keeper, "t1", NewGroup(name="x", owner_id="bob"))

        assert await roles(database, group.id) == {"bob": Role.OWNER}
        assert post.told() == {"bob": ['You created the group "x"']}
        with pytest.raises(NotFound, match="'zoe'"):
            await groups.create(keeper, "t1", NewGroup(name="x", owner_id="zoe"))
    with pytest.raises(BadInput, match="owner_id"):
        await groups.create(app, "t1", NewGroup(name="x"))
    pushing = AppCaller("a1", "A", "t1", "", frozenset({Permission.PUSH}))
    with pytest.raises(Forbidden, match="'sync'"):
        await groups.create(pushing, "t1", NewGroup(name="x", owner_id="bob"))


async def test_nobody_owns_too_many(database: Database, groups: Groups, post: Post) -> None:
    """W17: rows cost, and strangers to a group pay nothing."""
    few = groups_on(database, post, GroupsConfig(owned=2))
    for _ in range(2):
        await a_group(few, "ann", "bob")

    with pytest.raises(LimitReached, match="owns 2 groups"):
        await a_group(few, "ann")

    await a_group(few, "bob")


async def test_a_name_is_changed(database: Database, groups: Groups, post: Post) -> None:
    """By any member; nobody is told of the same name again."""
    group_id = await a_group(groups, "ann", "bob")

    await groups.update(BOB, "t1", group_id, GroupChange(name="Dinner"))
    renamed = post.told()
    await groups.update(BOB, "t1", group_id, GroupChange(name="Dinner"))

    assert (await groups.see(ANN, "t1", group_id)).name == "Dinner"
    assert renamed == {
        "bob": ['You renamed the group to "Dinner"'],
        "ann": ['Bob renamed the group to "Dinner"'],
    }
    assert len(post.batches) == 2


async def test_the_rest_is_changed_by_whom_it_concerns(database: Database, groups: Groups) -> None:
    """Together: all or nothing."""
    group_id = await a_group(groups, "ann", "bob")
    both = GroupChange(name="Dinner", description="at eight")

    with pytest.raises(Forbidden, match="'member' may not change description"):
        await groups.update(BOB, "t1", group_id, both)
    with pytest.raises(BadInput, match="max_member: got 1, expected 2 to 10000"):
        await groups.update(ANN, "t1", group_id, GroupChange(name="Dinner", max_member=1))
    before = await groups.see(ANN, "t1", group_id)
    await groups.update(ANN, "t1", group_id, GroupChange(description="at eight", max_member=2))
    after = await groups.see(ANN, "t1", group_id)

    assert before.name == after.name == "Lunch"
    assert (after.description, after.max_member) == ("at eight", 2)


async def test_invited(database: Database, groups: Groups, post: Post) -> None:
    """By any member, those who are in stay what they are; doing it again changes and tells nothing."""
    group_id = await a_group(groups, "ann", "bob")

    _, new = await groups.invite(BOB, "t1", group_id, ["cyd", "ann", "dan", "cyd"])
    told = post.told()
    _, again = await groups.invite(BOB, "t1", group_id, ["cyd", "dan"])

    assert (new, again, len(post.batches)) == (["cyd", "dan"], [], 2)
    assert (await roles(database, group_id))["ann"] is Role.OWNER
    assert told == {
        "bob": ["You invited 2 people to the chat: Cyd, Dan"],
        "ann": ["Bob invited 2 people to the chat: Cyd, Dan"],
        "cyd": ["Bob invited you to the chat"],
        "dan": ["Bob invited you to the chat"],
    }


async def test_an_invitation_is_all_or_nothing(database: Database, groups: Groups) -> None:
    """One who is not there, or one too many, and nobody is in."""
    group_id = await a_group(groups, "ann", size=2)

    with pytest.raises(NotFound, match="'zoe'"):
        await groups.invite(ANN, "t1", group_id, ["bob", "zoe"])
    with pytest.raises(LimitReached):
        await groups.invite(ANN, "t1", group_id, ["bob", "cyd"])

    assert await roles(database, group_id) == {"ann": Role.OWNER}


async def test_many_invite_at_once(database: Database, groups: Groups, post: Post) -> None:
    """Threads on connections of their own, for the last seats: never more than max_member (C8)."""
    uids = [f"u{n}" for n in range(24)]
    await add_users(database, *uids)
    group_id = await a_group(groups, "ann", size=10)
    refused = 0

    async def invite(some: list[str]) -> None:
        nonlocal refused
        try:
            await groups_on(crowd, post).invite(ANN, "t1", group_id, some)
        except LimitReached:
            refused += 1

    with many_threads(database) as crowd:
        async with trio.open_nursery() as nursery:
            for at in range(0, 24, 2):
                nursery.start_soon(invite, uids[at : at + 2])
                nursery.start_soon(invite, uids[at : at + 1])  # the same once more

    assert 9 <= len(await roles(database, group_id)) <= 10
    assert refused >= 12


async def test_removed(database: Database, groups: Groups, post: Post) -> None:
    """By an admin or the owner; who is no member is passed over."""
    group_id = await a_group(groups, "ann", "bob", "cyd", "dan")
    await groups.appoint(ANN, "t1", group_id, "bob", Role.ADMIN)

    with pytest.raises(Forbidden, match="'member' may not remove a member"):
        await groups.remove(CYD, "t1", group_id, ["dan"])
    with pytest.raises(Forbidden, match="'admin' may not remove an admin"):
        await groups.remove(BOB, "t1", group_id, ["ann"])
    with pytest.raises(Forbidden):
        await groups.remove(CYD, "t1", group_id, ["nobody"])
    await groups.remove(BOB, "t1", group_id, ["eve"])
    assert len(post.batches) == 1
    await groups.remove(BOB, "t1", group_id, ["dan", "eve", "nobody"])

    assert list(await roles(database, group_id)) == ["ann", "bob", "cyd"]
    assert post.told() == {
        "bob": ["You removed Dan from the chat"],
        "ann": ["Bob removed Dan from the chat"],
        "cyd": ["Bob removed Dan from the chat"],
        "dan": ["Bob removed you from the chat"],
    }
    with pytest.raises(NotMember):
        await groups.see(DAN, "t1", group_id)


async def test_left(database: Database, groups: Groups, post: Post) -> None:
    """Everybody may, once."""
    group_id = await a_group(groups, "ann", "bob")

    await groups.leave(BOB, group_id)

    assert await roles(database, group_id) == {"ann": Role.OWNER}
    assert post.told() == {"ann": ["Bob left the chat"]}
    assert await notes(database) == [f"{group_id}@qun"] * 2
    with pytest.raises(NotMember):
        await groups.leave(BOB, group_id)


async def test_the_owner_leaves(database: Database, groups: Groups, post: Post) -> None:
    """C8: the oldest admin owns the group, else the oldest member; without any it is dissolved."""
    group_id = await a_group(groups, "ann", "bob", "cyd")
    await groups.appoint(ANN, "t1", group_id, "cyd", Role.ADMIN)

    await groups.leave(ANN, group_id)
    first, told = await roles(database, group_id), post.told()
    owner = (await groups.see(CYD, "t1", group_id)).creator_id
    await groups.leave(CYD, group_id)
    second = await roles(database, group_id)
    await groups.leave(BOB, group_id)

    assert first == {"bob": Role.MEMBER, "cyd": Role.OWNER}
    assert owner == "cyd"
    assert told == {
        "bob": ["Ann left the chat", "Cyd now owns the group"],
        "cyd": ["Ann left the chat", "You now own the group"],
    }
    assert second == {"bob": Role.OWNER}
    assert await groups.of_tenant("t1", Paging()) == []
    with pytest.raises(NotFound):
        await groups.see(BOB, "t1", group_id)


async def test_all_leave_at_once(database: Database, groups: Groups, post: Post) -> None:
    """However they come, there is one owner while there is a member, and then there is no group."""
    group_id = await a_group(groups, "ann", "bob", "cyd", "dan", "eve")

    with many_threads(database) as crowd:
        async with trio.open_nursery() as nursery:
            for one in (ANN, BOB, CYD, EVE):
                nursery.start_soon(groups_on(crowd, post).leave, one, group_id)

    assert await roles(database, group_id) == {"dan": Role.OWNER}
    await groups.leave(DAN, group_id)
    assert await groups.of_tenant("t1", Paging()) == []


async def test_roles_are_given_by_the_owner(database: Database, groups: Groups) -> None:
    """Ownership is none of them: that is handed over."""
    group_id = await a_group(groups, "ann", "bob", "cyd")

    seat = await groups.appoint(ANN, "t1", group_id, "bob", Role.ADMIN)

    assert (seat.person.uid, seat.role) == ("bob", Role.ADMIN)
    with pytest.raises(Forbidden):
        await groups.appoint(BOB, "t1", group_id, "cyd", Role.ADMIN)
    with pytest.raises(Conflict):
        await groups.appoint(ANN, "t1", group_id, "ann", Role.MEMBER)
    with pytest.raises(Conflict):
        await groups.appoint(ANN, "t1", group_id, "bob", Role.OWNER)
    with pytest.raises(NotFound):
        await groups.appoint(ANN, "t1", group_id, "dan", Role.ADMIN)
    seat = await groups.appoint(ANN, "t1", group_id, "bob", Role.MEMBER)
    assert seat.role is Role.MEMBER


async def test_transferred(database: Database, groups: Groups, post: Post) -> None:
    """To a member, who is its creator for old clients; who owned it is an admin."""
    group_id = await a_group(groups, "ann", "bob")

    with pytest.raises(NotFound):
        await groups.transfer(ANN, "t1", group_id, "cyd")
    with pytest.raises(Forbidden):
        await groups.transfer(BOB, "t1", group_id, "bob")
    group = await groups.transfer(ANN, "t1", group_id, "bob")
    again = await groups.transfer(BOB, "t1", group_id, "bob")

    assert await roles(database, group_id) == {"ann": Role.ADMIN, "bob": Role.OWNER}
    assert group.creator_id == again.creator_id == "bob"
    assert len(post.batches) == 2
    assert post.told() == {"bob": ["You now own the group"], "ann": ["Bob now owns the group"]}


async def test_dissolved(database: Database, groups: Groups, post: Post) -> None:
    """By its owner; nothing of it is left, and its members know."""
    group_id = await a_group(groups, "ann", "bob")

    with pytest.raises(Forbidden):
        await groups.dissolve(BOB, "t1", group_id)
    await groups.dissolve(ANN, "t1", group_id)

    left = await database.read(lambda s: s.scalar(sa.select(sa.func.count(QunUser.id))))
    assert left == 0
    assert post.told() == {
        "ann": ["You dissolved the group"],
        "bob": ["Ann dissolved the group"],
    }
    assert (await notes(database))[-1] == f"{group_id}@qun"


Attempt = Callable[[Groups, Principal, str, str], Awaitable[object]]
ATTEMPTS: dict[str, Attempt] = {
    "see": lambda groups, who, tenant, g: groups.see(who, tenant, g),
    "members": lambda groups, who, tenant, g: groups.seats_page(who, tenant, g, Paging()),
    "rename": lambda groups, who, tenant, g: groups.update(
        who, tenant, g, GroupChange(name="Mine")
    ),
    "invite": lambda groups, who, tenant, g: groups.invite(who, tenant, g, ["eve"]),
    "remove": lambda groups, who, tenant, g: groups.remove(who, tenant, g, ["bob"]),
    "appoint": lambda groups, who, tenant, g: groups.appoint(who, tenant, g, "bob", Role.ADMIN),
    "transfer": lambda groups, who, tenant, g: groups.transfer(who, tenant, g, "bob"),
    "dissolve": lambda groups, who, tenant, g: groups.dissolve(who, tenant, g),
}


@on_sqlite
@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
async def test_strangers_and_other_tenants(
    database: Database, groups: Groups, post: Post, attempt: Attempt
) -> None:
    """W8: a stranger is refused, for another tenant there is no such group, and all stays as it was."""
    group_id = await a_group(groups, "ann", "bob")
    before = await roles(database, group_id)
    app = AppCaller("a1", "A", "t1", "", frozenset({Permission.PUSH}))

    for stranger in (EVE, app):
        with pytest.raises(NotMember):
            await attempt(groups, stranger, "t1", group_id)
    for other in (user("zoe", "t2"), user("zoe", "t2", role="admin"), OPERATOR):
        with pytest.raises(NotFound, match=group_id):
            await attempt(groups, other, "t2", group_id)

    assert await roles(database, group_id) == before
    assert (await groups.see(ANN, "t1", group_id)).name == "Lunch"
    assert len(post.batches) == 1


@on_sqlite
@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
async def test_keepers_need_not_be_members(
    database: Database, groups: Groups, attempt: Attempt
) -> None:
    """An operator, an application with sync, a user whose role has it: as its owner."""
    app = AppCaller("a1", "A", "t1", "", frozenset({Permission.SYNC}))
    for keeper in (OPERATOR, app, user("eve", role="admin")):
        group_id = await a_group(groups, "ann", "bob")

        await attempt(groups, keeper, "t1", group_id)


async def test_notices_that_fail_change_no_answer(
    database: Database, groups: Groups, post: Post
) -> None:
    """C8: in the original a change that was made is answered with 65537."""
    post.trouble = Unavailable("no comet")

    group_id = await a_group(groups, "ann", "bob")
    await groups.update(ANN, "t1", group_id, GroupChange(name="Dinner"))

    assert (await groups.see(BOB, "t1", group_id)).name == "Dinner"
    assert groups.untold == 3


async def test_a_list_of_members(database: Database, groups: Groups) -> None:
    """Whole: owner, admins, members, each by age. In pages: by uid."""
    group_id = await a_group(groups, "cyd", "bob")
    await groups.invite(CYD, "t1", group_id, ["ann", "dan"])
    await groups.appoint(CYD, "t1", group_id, "dan", Role.ADMIN)

    whole = await groups.seats(await groups.see(CYD, "t1", group_id))
    first = await groups.seats_page(CYD, "t1", group_id, Paging(2))
    second = await groups.seats_page(CYD, "t1", group_id, Paging(2, ("bob",)))

    assert [seat.person.uid for seat in whole] == ["cyd", "dan", "bob", "ann"]
    assert [seat.person.uid for seat in first] == ["ann", "bob", "cyd"]  # one more than asked for
    assert [(seat.person.uid, seat.role) for seat in second] == [
        ("cyd", Role.OWNER),
        ("dan", Role.ADMIN),
    ]


async def test_my_groups(database: Database, groups: Groups) -> None:
    """Those that I am in, with what I am there, in pages by id; a keeper sees all."""
    ids = sorted([await a_group(groups, owner, "dan") for owner in ("ann", "bob", "dan")])
    other = await a_group(groups, "ann")

    first = await groups.mine(DAN, Paging(2))
    rest = await groups.mine(DAN, Paging(2, (first[1][0].id,)))
    every = await groups.of_tenant("t1", Paging())

    assert [group.id for group, _ in first] == ids  # one more than asked for
    assert [group.id for group, _ in rest] == ids[2:]
    assert sorted(role for _, role in first) == [Role.OWNER, Role.MEMBER, Role.MEMBER]
    assert {group.id for group in every} == {*ids, other}
    assert await groups.of_tenant("t2", Paging()) == []


async def test_a_user_is_forgotten(database: Database, groups: Groups) -> None:
    """Whoever is deleted or goes elsewhere is in no group; what he owned has heirs or is gone."""
    owned = await a_group(groups, "ann", "bob", "cyd")
    joined = await a_group(groups, "bob", "ann")
    alone = await a_group(groups, "ann")
    seen = len(await notes(database))

    await database.write(lambda session: group_queries.forget_users(session, ["ann"]))

    assert await roles(database, owned) == {"bob": Role.OWNER, "cyd": Role.MEMBER}
    assert (await groups.see(BOB, "t1", owned)).creator_id == "bob"
    assert await roles(database, joined) == {"bob": Role.OWNER}
    assert {group.id for group in await groups.of_tenant("t1", Paging())} == {owned, joined}
    noted = (await notes(database))[seen:]
    assert sorted(noted) == sorted(f"{each}@qun" for each in (owned, joined, alone))


async def test_an_adopted_group(database: Database, groups: Groups) -> None:
    """Rows of users that are gone or elsewhere are nobody; a size of 0 is the usual one; ages are unknown."""

    await add_users(database, "aaa", tenant="t2")

    def adopt(session: Any) -> None:
        session.add(Qun(id="g1", name="Old", creator_id="gone", tenant_id="t1", max_member=0))
        for uid, role in {"gone": 0, "aaa": 2, "cyd": 2, "bob": 2, "ann": 7}.items():
            session.add(QunUser(qun_id="g1", user_id=uid, role=role))
        session.flush()
        session.execute(sa.update(QunUser).values(created=None))

    await database.write(adopt)

    before = await roles(database, "g1")
    await groups.invite(BOB, "t1", "g1", ["dan"])
    await groups.leave(BOB, "g1")

    assert before == dict.fromkeys(["ann", "bob", "cyd"], Role.MEMBER)
    assert (await roles(database, "g1"))["cyd"] is Role.OWNER
    assert (await groups.see(CYD, "t1", "g1")).creator_id == "cyd"
    assert await groups.mine(user("aaa", "t2"), Paging()) == []


async def test_statements_do_not_grow_with_members(database: Database, groups: Groups) -> None:
    """P2: set-based, whatever the size."""
    uids = [f"u{n}" for n in range(300)]
    await add_users(database, *uids)
    cost: list[list[int]] = []
    for some in (uids[:2], uids):
        at: list[int] = [database.statements]
        group_id = await a_group(groups, "ann", *some[1:], size=400)
        at.append(database.statements)
        await groups.invite(ANN, "t1", group_id, some)
        at.append(database.statements)
        await groups.remove(ANN, "t1", group_id, some)
        at.append(database.statements)
        await groups.leave(ANN, group_id)
        at.append(database.statements)
        cost.append([b - a for a, b in pairwise(at)])

    assert cost[0] == cost[1]
    assert max(cost[0]) <= 8


def test_a_size_that_contradicts_itself(post: Post) -> None:
    """Told at the start."""
    with pytest.raises(ConfigError, match=r"web\.groups\.max_member"):
        groups_on(None, post, GroupsConfig(max_member=20, most_members=10))  # type: ignore[arg-type]  # it is not asked

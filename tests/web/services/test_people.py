"""Users: who may do what with whom, and what becomes of it; on each database."""

from typing import Any

import pytest
import trio
from msgspec import UNSET

from appmodel.core.credentials import Caller
from appmodel.core.groups import Role
from appmodel.core.interfaces import Ledger
from appmodel.errors import (
    BadInput,
    Conflict,
    Forbidden,
    LoginRefused,
    NotFound,
    Unauthorized,
    Unavailable,
)
from appmodel.io.database import Database
from appmodel.orm.applications import Application
from appmodel.orm.contacts import ShieldMsg, UserUser
from appmodel.orm.devices import ApnsToken, PushDevice
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.people import Client, User, UserToken
from tests.web.desk import Desk, attempt, open_desk
from tests.web.organisations import OPERATOR, app_of, notes, user_of
from web.core.paging import Paging
from web.core.principals import Operator, Permission, Principal
from web.core.users import DeliveredUser, NewUser, PasswordChange, UserChange

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ADMIN = user_of("t1", "boss", role="admin")
ANN = user_of("t1", "ann")


def delivered(uid: str = "ann", **changes: Any) -> DeliveredUser:
    """What a caller of syncUser sends."""
    fields = {
        "name": uid,
        "nick_name": uid.capitalize(),
        "py_initial": "a",
        "py_quanpin": "an",
        "status": "0",
        "avatar": "a.png",
        "password": "secret",
        "tenant_id": "t1",
        "email": f"{uid}@shop.example",
        "mobile": "123",
        "area": "EU",
    }
    return DeliveredUser(uid=uid, **(fields | changes))


async def is_logged_in(desk: Desk, token: str) -> bool:
    """Whether a token is good."""
    try:
        await desk.tokens.verify(token)
    except Unauthorized:
        return False
    return True


async def test_create(database: Database) -> None:
    """What was given is what is there; the id is made up if none is; nobody sees the password."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1"))
        wanted = NewUser(name="ann", nickname="Ann", email="a@b", password="secret-1", role="admin")

        made = await desk.people.create(app_of("t1"), wanted)
        named = await desk.people.create(OPERATOR, NewUser(name="bob", id="b.1-2", tenant_id=None))

        assert made == await desk.people.get(ANN, made.id, None)
        assert (made.tenant_id, made.name, made.nickname) == ("t1", "ann", "Ann")
        assert (made.email, made.role, made.disabled) == ("a@b", "admin", False)
        assert (named.id, named.tenant_id) == ("b.1-2", "")
        assert {f"{made.id}@user", "t1@tenant", "b.1-2@user"} <= await notes(database)
        logged_in = await desk.accounts.log_in(attempt("ann", "secret-1"))
        assert logged_in.person.uid == made.id


async def test_ids_names_and_addresses_are_taken_once(database: Database) -> None:
    """An id in the whole system, names and e-mail addresses within a tenant; nothing is written."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1"), Tenant(id="t2"))
        await desk.add("ann", email="a@b")
        for wanted in (
            NewUser(name="new", id="ann"),
            NewUser(name="ann"),
            NewUser(name="new", email="a@b"),
        ):
            with pytest.raises(Conflict):
                await desk.people.create(app_of("t1"), wanted)
        with pytest.raises(Conflict, match="id"):
            await desk.people.create(app_of("t2"), NewUser(name="new", id="ann"))

        await desk.people.create(app_of("t2"), NewUser(name="ann", email="a@b"))
        assert len(await desk.all(User.id)) == 2


async def test_two_who_want_a_name_at_once(database: Database) -> None:
    """One gets it."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1"))
        refused = 0

        async def create() -> None:
            nonlocal refused
            try:
                await desk.people.create(app_of("t1"), NewUser(name="ann"))
            except Conflict:
                refused += 1

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(create)

        assert refused == 5


@sqlite_only
@pytest.mark.parametrize(
    "caller",
    [ANN, user_of("t1", "tom", "announcer"), app_of("t1", Permission.PUSH)],
    ids=["member", "announcer", "app"],
)
async def test_who_may_not_keep_users(database: Database, caller: Principal) -> None:
    """Members and applications without SYNC: nothing of others', and nothing new."""
    async with open_desk(database) as desk:
        await desk.add("bob", password="secret")
        before = await desk.all(User.id, User.nickname, User.status, User.password)
        change = UserChange(nickname="x")
        password = PasswordChange(new_password="secret-2")
        for call in (
            lambda: desk.people.create(caller, NewUser(name="x")),
            lambda: desk.people.change(caller, "bob", change, None),
            lambda: desk.people.delete(caller, "bob", None),
            lambda: desk.people.set_password(caller, "bob", password, None, "x"),
            lambda: desk.people.end_logins(caller, "bob", None),
        ):
            with pytest.raises(Forbidden):
                await call()

        assert await desk.all(User.id, User.nickname, User.status, User.password) == before


@sqlite_only
@pytest.mark.parametrize(
    "caller",
    [user_of("t2", "zoe", "admin"), app_of("t2"), user_of("", "tim", "admin")],
    ids=["admin", "app", "tenantless"],
)
async def test_another_tenant_is_not_there(database: Database, caller: Principal) -> None:
    """Whoever keeps one tenant finds nobody of another; naming it is forbidden."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1"), Tenant(id="t2"))
        await desk.add("bob", password="secret")
        token = await desk.tokens.issue("bob")
        before = await desk.all(User.id, User.nickname, User.status, User.password)
        for tenant, refusal in ((None, NotFound), ("t1", Forbidden)):
            password = PasswordChange(new_password="secret-2")
            calls = (
                lambda tenant=tenant: desk.people.get(caller, "bob", tenant),
                lambda tenant=tenant: desk.people.change(caller, "bob", UserChange(), tenant),
                lambda tenant=tenant: desk.people.delete(caller, "bob", tenant),
                lambda tenant=tenant, password=password: desk.people.set_password(
                    caller, "bob", password, tenant, "x"
                ),
                lambda tenant=tenant: desk.people.end_logins(caller, "bob", tenant),
            )
            for call in calls:
                with pytest.raises(refusal):
                    await call()
        with pytest.raises(Forbidden):
            await desk.people.create(caller, NewUser(name="x", tenant_id="t1"))
        people, _ = await desk.people.page(caller, Paging(), None, "")

        assert people == []
        assert await desk.all(User.id, User.nickname, User.status, User.password) == before
        assert await is_logged_in(desk, token)


@sqlite_only
async def test_operators_of_another_realm_are_not_ours(database: Database) -> None:
    """People live in the default realm (law 7)."""
    stranger = Operator(Caller("", "t7", frozenset({"admin"}), "op", 0.0, 9e9))
    async with open_desk(database) as desk:
        await desk.add("ann")
        with pytest.raises(Forbidden, match="realm"):
            await desk.people.get(stranger, "ann", "t1")


async def test_what_users_change_of_themselves(database: Database) -> None:
    """How they are shown; not what they log in with, nor what they may do."""
    async with open_desk(database) as desk:
        await desk.add("ann")
        await desk.people.change(ANN, "ann", UserChange(nickname="Anna", mobile="42"), None)
        for beyond in (
            UserChange(nickname="x", name="x"),
            UserChange(email="x@y"),
            UserChange(role="admin"),
            UserChange(disabled=False),
        ):
            with pytest.raises(Forbidden):
                await desk.people.change(ANN, "ann", beyond, None)

        shown = await desk.people.get(ANN, "ann", None)
        assert (shown.nickname, shown.mobile, shown.name, shown.role) == (
            "Anna",
            "42",
            "ann",
            "member",
        )
        assert "ann@user" in await notes(database)


async def test_disabling(database: Database) -> None:
    """Logged out everywhere, and cannot log in; enabled again he can. An adopted status stays."""
    async with open_desk(database) as desk:
        await desk.add("ann", password="secret", status=7)
        token = await desk.tokens.issue("ann")

        same = await desk.people.change(ADMIN, "ann", UserChange(disabled=False), None)
        assert await is_logged_in(desk, token)
        assert await desk.all(User.status) == [7]
        gone = await desk.people.change(ADMIN, "ann", UserChange(disabled=True), None)
        assert not await is_logged_in(desk, token)
        with pytest.raises(LoginRefused):
            await desk.accounts.log_in(attempt("ann", "secret"))
        await desk.people.change(ADMIN, "ann", UserChange(disabled=False), None)
        await desk.accounts.log_in(attempt("ann", "secret"))

        assert (same.disabled, gone.disabled) == (False, True)
        assert await desk.all(User.status) == [0]
        assert not await is_logged_in(desk, token)


async def test_deleting(database: Database) -> None:
    """Nothing of a user is left, his groups go on, and what is others' stays."""
    async with open_desk(database) as desk:
        for uid in ("ann", "bob"):
            await desk.add(uid, password="secret")
        token = await desk.tokens.issue("ann")
        await desk.put(
            OrgUser(org_id="d1", user_id="ann"),
            OrgUser(org_id="d1", user_id="bob"),
            Qun(id="g1", creator_id="ann", tenant_id="t1"),
            QunUser(qun_id="g1", user_id="ann", role=Role.OWNER),
            QunUser(qun_id="g1", user_id="bob"),
            UserUser(from_user_id="bob", to_user_id="ann"),
            ShieldMsg(source_id="ann", target_id="a1", type=1),
            ApnsToken(user_id="ann", apns_token="0a"),
            PushDevice(user_id="ann", provider="fcm", address="x", address_digest="y"),
            Client(user_id="ann", device_id="d1"),
        )

        await desk.people.delete(ADMIN, "ann", None)

        assert await desk.all(User.id) == ["bob"]
        assert await desk.all(OrgUser.user_id) == ["bob"]
        assert await desk.all(QunUser.user_id, QunUser.role) == [("bob", Role.OWNER)]
        for column in (
            UserToken.digest,
            UserUser.id,
            ShieldMsg.id,
            ApnsToken.id,
            PushDevice.id,
            Client.id,
        ):
            assert await desk.all(column) == []
        assert {"ann@user", "t1@tenant", "d1@org", "orgs:t1", "g1@qun"} <= await notes(database)
        assert not await is_logged_in(desk, token)
        with pytest.raises(NotFound):
            await desk.people.delete(ADMIN, "ann", None)


async def test_changing_a_password(database: Database) -> None:
    """With the old one; all logins end; the new one opens, the old one does not."""
    async with open_desk(database) as desk:
        await desk.add("ann", password="secret-1")
        await desk.add("bob", password="secret-1")
        anns, bobs = [await desk.tokens.issue(uid) for uid in ("ann", "bob")]
        wrong = PasswordChange(old_password="wrong", new_password="secret-2")
        with pytest.raises(LoginRefused):
            await desk.people.set_password(ANN, "ann", wrong, None, "x")
        without = PasswordChange(new_password="secret-2", old_password=UNSET)
        with pytest.raises(BadInput, match="old_password"):
            await desk.people.set_password(ANN, "ann", without, None, "x")
        assert await is_logged_in(desk, anns)

        right = PasswordChange(old_password="secret-1", new_password="secret-2")
        await desk.people.set_password(ANN, "ann", right, None, "x")

        assert not await is_logged_in(desk, anns)
        assert await is_logged_in(desk, bobs)
        await desk.accounts.log_in(attempt("ann", "secret-2"))
        with pytest.raises(LoginRefused):
            await desk.accounts.log_in(attempt("ann", "secret-1"))


@sqlite_only
async def test_a_password_changes_only_if_logins_can_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who repeats the call would be told that the old password is wrong, and the logins would stay."""

    def away() -> Ledger:
        raise Unavailable("no message node")

    async with open_desk(database) as desk:
        await desk.add("ann", password="secret-1")
        wanted = PasswordChange(old_password="secret-1", new_password="secret-2")
        with monkeypatch.context() as patch:
            patch.setattr(desk.tokens, "_ledger", away)
            with pytest.raises(Unavailable):
                await desk.people.set_password(ANN, "ann", wanted, None, "x")

        await desk.people.set_password(ANN, "ann", wanted, None, "x")

        await desk.accounts.log_in(attempt("ann", "secret-2"))


@sqlite_only
async def test_wrong_old_passwords_are_counted(database: Database) -> None:
    """A stolen token does not buy guesses."""
    async with open_desk(database) as desk:
        await desk.add("ann", password="secret-1")
        wrong = PasswordChange(old_password="wrong", new_password="secret-2")
        for _ in range(10):
            with pytest.raises(LoginRefused):
                await desk.people.set_password(ANN, "ann", wrong, None, "x")
        with pytest.raises(Exception, match="too often"):
            await desk.people.set_password(ANN, "ann", wrong, None, "x")


@sqlite_only
@pytest.mark.parametrize("caller", [ADMIN, app_of("t1"), OPERATOR], ids=["admin", "app", "op"])
async def test_resetting_a_password(database: Database, caller: Principal) -> None:
    """Who keeps the tenant needs no old one; the user is logged out."""
    async with open_desk(database) as desk:
        await desk.add("ann")
        token = await desk.tokens.issue("ann")
        tenant = "t1" if caller is OPERATOR else None

        wanted = PasswordChange(new_password="secret-2")
        await desk.people.set_password(caller, "ann", wanted, tenant, "x")

        assert not await is_logged_in(desk, token)
        await desk.accounts.log_in(attempt("ann", "secret-2"))


async def test_listing(database: Database) -> None:
    """Page by page, by id, each once; a part of the nickname, "%" and "_" as they are."""
    async with open_desk(database) as desk:
        for at in range(7):
            await desk.add(f"u{at}", nickname=f"N{at}")
        await desk.add("odd", nickname="100%_sure")
        await desk.add("zoe", tenant="t2")

        seen, paging = [], Paging(limit=3)
        while True:
            people, more = await desk.people.page(ANN, paging, None, "")
            seen += [person.id for person in people]
            if more is None:
                break
            paging = Paging(limit=3, after=(people[-1].id,))

        assert seen == ["odd", *(f"u{at}" for at in range(7))]
        for text, expected in (("%", ["odd"]), ("_", ["odd"]), ("n3", ["u3"]), ("zoe", [])):
            found, _ = await desk.people.page(ANN, Paging(), None, text)
            assert [person.id for person in found] == expected


async def test_search(database: Database) -> None:
    """By nickname, counted and cut; applications by name, without disabled ones."""
    async with open_desk(database) as desk:
        for at in (3, 1, 2):
            await desk.add(f"u{at}", nickname=f"Ann {at}")
        await desk.add("bob", nickname="x%x")
        await desk.add("zoe", nickname="Ann Z", tenant="t2")
        await desk.put(
            Application(id="a2", name="Canteen", tenant_id="t1", sort=1),
            Application(id="a1", name="Cantor", tenant_id="t1"),
            Application(id="a3", name="Canned", tenant_id="t1", status=-1),
            Application(id="a4", name="Canoe", tenant_id="t2"),
        )

        people, count = await desk.people.search(ANN, "ann", offset=1, limit=1)
        assert ([person.uid for person in people], count) == (["u2"], 3)
        odd, count = await desk.people.search(ANN, "%", offset=0, limit=9)
        assert ([person.uid for person in odd], count) == (["bob"], 1)
        for offset, limit in ((3, 5), (0, 0)):
            assert await desk.people.search(ANN, "ann", offset=offset, limit=limit) == ([], 3)
        entries, count = await desk.people.search_applications(ANN, "can", offset=0, limit=9)
        assert ([entry.id for entry in entries], count) == (["a1", "a2"], 2)


async def test_member(database: Database) -> None:
    """One of the tenant, and whether the caller starred him: not whether others did."""
    async with open_desk(database) as desk:
        for uid in ("ann", "bob", "cyd"):
            await desk.add(uid)
        await desk.put(
            UserUser(from_user_id="ann", to_user_id="bob"),
            UserUser(from_user_id="bob", to_user_id="cyd"),
        )
        before = database.statements

        assert (await desk.people.member(ANN, "bob"))[1]
        assert database.statements == before + 1
        assert not (await desk.people.member(ANN, "cyd"))[1]


async def test_delivered_users(database: Database) -> None:
    """New, and in the department; then changed, really (C5), and left in his departments."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1"), Org(id="d1", tenant_id="t1"), Org(id="d2", tenant_id="t1"))

        await desk.people.put(app_of("t1"), "d1", delivered())
        await desk.accounts.log_in(attempt("ann", "secret"))
        changed = delivered(nick_name="Anna", status="7", mobile="", name="anna", tenant_id="")
        await desk.people.put(app_of("t1"), "d2", changed)

        columns = (User.id, User.name, User.nickname, User.status, User.mobile, User.tenant_id)
        assert await desk.all(*columns) == [("ann", "anna", "Anna", 7, "", "t1")]
        assert await desk.all(User.email, User.area, User.name_quanpin) == [
            ("ann@shop.example", "EU", "an")
        ]
        assert await desk.all(OrgUser.org_id, OrgUser.user_id) == [("d1", "ann")]
        assert {"ann@user", "t1@tenant", "d1@org"} <= await notes(database)


async def test_delivered_passwords(database: Database) -> None:
    """The same one again ends nothing; another one does; an empty one changes none."""
    async with open_desk(database) as desk:
        app, md5 = app_of("t1"), "5ebe2294ecd0e0f08eab7690d2a6ee69"
        await desk.people.put(app, "", delivered(password=md5))
        token = await desk.tokens.issue("ann")
        kept = await desk.all(User.password)
        for same in (md5, "secret", ""):
            await desk.people.put(app, "", delivered(password=same))
        assert await is_logged_in(desk, token)
        assert await desk.all(User.password) == kept
        await desk.accounts.log_in(attempt("ann", "secret"))

        await desk.people.put(app, "", delivered(password="another"))

        assert not await is_logged_in(desk, token)
        await desk.accounts.log_in(attempt("ann", "another"))


async def test_a_user_may_be_delivered_twice_at_once(database: Database) -> None:
    """Whoever comes second changes what the first has made."""
    async with open_desk(database) as desk:
        async with trio.open_nursery() as nursery:
            for at in range(4):
                user = delivered(nick_name=f"Ann {at}")
                nursery.start_soon(desk.people.put, app_of("t1"), "", user)

        ((uid, nickname),) = await desk.all(User.id, User.nickname)
        assert (uid, nickname[:4]) == ("ann", "Ann ")


@pytest.mark.parametrize(
    ("changes", "org_id", "refusal", "field"),
    [
        ({"uid": "a_b"}, "", BadInput, "member.uid"),
        ({"uid": ""}, "", BadInput, "member.uid"),
        ({"nick_name": "x" * 46}, "", BadInput, "member.nickName"),
        ({"status": "one"}, "", BadInput, "member.status"),
        ({"mobile": "a\0b"}, "", BadInput, "member.mobile"),
        ({"password": "x" * 257}, "", BadInput, "member.password"),
        ({}, "d9", BadInput, "orgId"),
        ({}, "d2", BadInput, "orgId"),
        ({"tenant_id": "t2"}, "", Forbidden, None),
        ({"uid": "zoe"}, "", Conflict, None),
    ],
)
@sqlite_only
async def test_what_cannot_be_delivered(
    database: Database, changes: dict[str, str], org_id: str, refusal: type, field: str | None
) -> None:
    """The field is named, and nothing is written: also no other tenant's user (W9)."""
    async with open_desk(database) as desk:
        await desk.put(Org(id="d2", tenant_id="t2"))
        await desk.add("zoe", tenant="t2")
        before = await desk.all(User.id, User.nickname, User.tenant_id)

        with pytest.raises(refusal) as refused:
            await desk.people.put(app_of("t1"), org_id, delivered(**{"uid": "ann", **changes}))

        assert getattr(refused.value, "field", None) == field
        assert await desk.all(User.id, User.nickname, User.tenant_id) == before
        assert await desk.all(OrgUser.id) == []


@sqlite_only
async def test_delivering_needs_a_permission(database: Database) -> None:
    """An application may do what it was given (W9)."""
    async with open_desk(database) as desk:
        with pytest.raises(Forbidden):
            await desk.people.put(app_of("t1", Permission.PUSH), "", delivered())
        assert await desk.all(User.id) == []

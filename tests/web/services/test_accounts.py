"""Who may log in, and what a login leaves behind; on each database."""

from contextlib import suppress
from hashlib import md5

import pytest
import trio

from appmodel.core.people import Account
from appmodel.errors import BadInput, CallQuota, LimitReached, LoginRefused, Unauthorized
from appmodel.io.database import Database
from appmodel.orm.devices import ApnsToken
from appmodel.orm.login_queries import CLIENTS, MANY
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import Client, User, UserToken
from tests.web.desk import attempt, open_desk
from tests.web.organisations import app_of
from web.config import LoginConfig

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


async def test_a_name_and_its_password(database: Database) -> None:
    """By name or by e-mail address; the token proves who logged in, and its digest is what is kept."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1", customer_id="c1"))
        await desk.add("ann", password="secret", email="ann@shop.example", role="admin")

        first = await desk.accounts.log_in(attempt("ann", "secret"))
        second = await desk.accounts.log_in(attempt("ann@shop.example", "secret"))
        caller = await desk.accounts.user(first.token)

        assert first.token != second.token
        assert first.person.uid == "ann"
        assert (caller.uid, caller.tenant_id, caller.customer_id) == ("ann", "t1", "c1")
        assert (caller.login, caller.nickname, caller.role) == ("ann", "Ann", "admin")
        kept = await desk.all(UserToken.digest)
        assert caller.token_id in kept
        assert not any(secret in str(kept) for secret in (first.token, first.token[4:]))


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ann", "wrong"),
        ("ann", ""),
        ("ANN", "secret"),
        ("ann ", "secret"),
        ("nobody", "secret"),
        ("nobody", ""),
        ("bare", ""),
        ("gone", "secret"),
        ("late", "secret"),
        ("under", "secret"),
        ("%", "secret"),
    ],
)
@sqlite_only
async def test_everything_else_is_refused_alike(
    database: Database, name: str, password: str
) -> None:
    """A wrong password, no user, no password, a disabled user, a disabled tenant, an id with "_" (W1)."""
    async with open_desk(database) as desk:
        await desk.put(Tenant(id="t1"), Tenant(id="t2", status=-1))
        await desk.add("ann", password="secret")
        await desk.add("bare")
        await desk.add("gone", password="secret", status=-1)
        await desk.add("late", password="secret", tenant="t2")
        await desk.add("u_1", password="secret", name="under")

        with pytest.raises(LoginRefused) as refused:
            await desk.accounts.log_in(attempt(name, password))

        assert str(refused.value) == "auth failed"
        assert await desk.all(UserToken.digest) == []
        assert await desk.all(Client.id) == []


async def test_names_are_compared_exactly(database: Database) -> None:
    """On every server: no case folding, no blanks at the end."""
    async with open_desk(database) as desk:
        await desk.add("ann", password="secret")
        for name in ("Ann", "ann ", "anN"):
            with pytest.raises(LoginRefused):
                await desk.accounts.log_in(attempt(name, "secret"))


async def test_one_name_in_several_tenants(database: Database) -> None:
    """The password decides among them; a tenant can be named."""
    async with open_desk(database) as desk:
        await desk.add("u1", name="ann", password="one", tenant="t1")
        await desk.add("u2", name="ann", password="two", tenant="t2")
        await desk.add("u3", name="ann", password="two", tenant="t3")

        one = await desk.accounts.log_in(attempt("ann", "one"))
        two = await desk.accounts.log_in(attempt("ann", "two"))
        three = await desk.accounts.log_in(attempt("ann", "two", tenant_id="t3"))

        assert [each.person.uid for each in (one, two, three)] == ["u1", "u2", "u3"]
        for tenant_id in ("t1", "", "t4"):
            with pytest.raises(LoginRefused):
                await desk.accounts.log_in(attempt("ann", "two", tenant_id=tenant_id))


@sqlite_only
async def test_so_many_of_one_name_and_no_more(database: Database) -> None:
    """A name that very many have costs a bounded number of checks."""
    async with open_desk(database) as desk:
        for at in range(MANY + 1):
            await desk.add(f"u{at:02}", name="ann", stored="plain")

        found = await desk.accounts.log_in(attempt("ann", "plain"))
        assert found.person.uid == "u00"
        await desk.add("zoe", name="ann", stored="other")
        with pytest.raises(LoginRefused):
            await desk.accounts.log_in(attempt("ann", "other"))


@pytest.mark.parametrize("stored", ["secret", md5(b"secret").hexdigest()])
async def test_an_adopted_password_is_replaced_at_the_first_login(
    database: Database, stored: str
) -> None:
    """And opens ever after."""
    async with open_desk(database) as desk:
        await desk.add("ann", stored=stored)

        for _ in range(2):
            await desk.accounts.log_in(attempt("ann", "secret"))

        (kept,) = await desk.all(User.password)
        assert "$argon2id$" in kept
        assert stored not in kept


async def test_what_a_login_leaves(database: Database) -> None:
    """The device, once; its APNs token, which is this user's now."""
    async with open_desk(database) as desk:
        for uid in ("ann", "bob"):
            await desk.add(uid, password="secret")
        options = {"device_id": "d1", "device_type": "iOS", "apns_token": "0a0b"}

        for name in ("bob", "ann", "ann"):
            await desk.accounts.log_in(attempt(name, "secret", **options))

        assert await desk.all(Client.user_id, Client.type, Client.device_id) == [
            ("ann", "iOS", "d1"),
            ("bob", "iOS", "d1"),
        ]
        assert await desk.all(ApnsToken.user_id, ApnsToken.device_id, ApnsToken.apns_token) == [
            ("ann", "d1", "0a0b")
        ]


@sqlite_only
async def test_devices_are_bounded(database: Database) -> None:
    """Whoever logs in from ever new ones leaves no more than so many."""
    async with open_desk(database) as desk:
        await desk.add("ann", password="secret")
        for at in range(CLIENTS + 3):
            await desk.accounts.log_in(attempt("ann", "secret", device_id=f"d{at:02}"))

        kept = await desk.all(Client.device_id)
        assert kept == [f"d{at:02}" for at in range(3, CLIENTS + 3)]
        assert len(await desk.all(UserToken.digest)) == desk.tokens.limits.per_user


@sqlite_only
async def test_a_login_does_not_outlive_the_password_that_it_came_with(database: Database) -> None:
    """Who had the old one and was being logged in while it was changed, is out like all others."""
    async with open_desk(database) as desk:
        await desk.add("ann", password="secret")

        async def end_logins(account: Account) -> None:
            await desk.tokens.revoke_all(account.uid)

        with pytest.raises(LoginRefused):
            await desk.accounts.log_in(attempt("ann", "secret"), end_logins)

        assert await desk.all(UserToken.digest) == []


@sqlite_only
async def test_who_is_not_admitted_leaves_nothing(database: Database) -> None:
    """A tenant without calls; and strangers are never asked about."""
    asked: list[Account] = []

    async def refuse(account: Account) -> None:
        await trio.lowlevel.checkpoint()
        asked.append(account)
        raise CallQuota("none left")

    async with open_desk(database) as desk:
        await desk.add("ann", password="secret")
        with pytest.raises(LoginRefused):
            await desk.accounts.log_in(attempt("ann", "wrong"), refuse)
        with pytest.raises(CallQuota):
            await desk.accounts.log_in(attempt("ann", "secret"), refuse)

        assert [account.uid for account in asked] == ["ann"]
        assert await desk.all(UserToken.digest) == await desk.all(Client.id) == []


@sqlite_only
async def test_wrong_tries_of_a_name_are_counted(database: Database) -> None:
    """From wherever they come, whether there is such a user or not; then the right password waits too."""
    config = LoginConfig(account_tries=3, address_tries=0)
    async with open_desk(database, config) as desk:
        await desk.add("ann", password="secret")
        for name in ("ann", "nobody"):
            for at in range(3):
                with pytest.raises(LoginRefused):
                    await desk.accounts.log_in(attempt(name, "wrong", origin=f"192.0.2.{at}"))
            with pytest.raises(LimitReached, match=r"^login: too often; try again in \d+ s$"):
                await desk.accounts.log_in(attempt(name, "secret", origin="192.0.2.9"))


@sqlite_only
async def test_wrong_tries_from_an_address_are_counted(database: Database) -> None:
    """Whatever names they try; others come in as ever."""
    config = LoginConfig(account_tries=0, address_tries=3)
    async with open_desk(database, config) as desk:
        await desk.add("ann", password="secret")
        for at in range(3):
            with pytest.raises(LoginRefused):
                await desk.accounts.log_in(attempt(f"user{at}", "wrong"))
        with pytest.raises(LimitReached):
            await desk.accounts.log_in(attempt("ann", "secret"))

        await desk.accounts.log_in(attempt("ann", "secret", origin="192.0.2.9"))


@sqlite_only
async def test_many_tries_at_once_are_counted_too(database: Database) -> None:
    """Nobody gets more guesses by making them in parallel."""
    config = LoginConfig(account_tries=3, address_tries=0, waiting=1000)
    guesses = 0

    async with open_desk(database, config) as desk:
        await desk.add("ann", password="secret")

        async def guess() -> None:
            nonlocal guesses
            try:
                await desk.accounts.log_in(attempt("ann", "wrong"))
            except LoginRefused:
                guesses += 1
            except LimitReached:
                pass

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(guess)

    assert guesses == 3


@sqlite_only
async def test_operators_see_what_becomes_of_logins(database: Database) -> None:
    """Each is counted once, by its outcome."""
    config = LoginConfig(account_tries=2)
    async with open_desk(database, config) as desk:
        await desk.add("ann", password="secret")
        for password in ("secret", "wrong", "wrong", "secret"):
            with suppress(LoginRefused, LimitReached):
                await desk.accounts.log_in(attempt("ann", password))

        assert desk.accounts.outcomes == {"in": 1, "refused": 2, "slowed": 1}


@sqlite_only
async def test_right_logins_are_not_counted(database: Database) -> None:
    """However often somebody logs in."""
    config = LoginConfig(account_tries=2, address_tries=2)
    async with open_desk(database, config) as desk:
        await desk.add("ann", password="secret")
        for _ in range(6):
            await desk.accounts.log_in(attempt("ann", "secret"))


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("userName", {"name": ""}),
        ("userName", {"name": "x" * 65}),
        ("userName", {"name": "a\0b"}),
        ("baseRequest.deviceID", {"device_id": "x" * 256}),
        ("baseRequest.deviceType", {"device_type": "x" * 46}),
    ],
)
@sqlite_only
async def test_fields_have_bounds(database: Database, field: str, options: dict[str, str]) -> None:
    """What no column can hold is refused by its name."""
    async with open_desk(database) as desk:
        wanted = {"name": "ann", **options}
        with pytest.raises(BadInput) as refused:
            await desk.accounts.log_in(attempt(password="x", **wanted))
        assert refused.value.field == field


@sqlite_only
async def test_what_applications_can_prove(database: Database) -> None:
    """A user's token, in their own tenant; a token for them; nothing else (W16)."""
    async with open_desk(database) as desk:
        for uid, tenant in (("ann", "t1"), ("zoe", "t2")):
            await desk.add(uid, password="secret", tenant=tenant)
        app = app_of("t1")
        anns, zoes = [await desk.tokens.issue(uid) for uid in ("ann", "zoe")]

        assert await desk.accounts.prove_to(app, anns) == "ann"
        mine = desk.tokens.audience_token("ann", app.id)
        assert await desk.accounts.prove_to(app, mine) == "ann"
        with pytest.raises(Unauthorized):
            await desk.accounts.prove_to(app, desk.tokens.audience_token("ann", "another"))
        with pytest.raises(Unauthorized):
            await desk.accounts.user(mine)
        with pytest.raises(Exception, match="another tenant"):
            await desk.accounts.prove_to(app, zoes)

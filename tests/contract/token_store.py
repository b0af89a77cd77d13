"""What every store of logins keeps to. A subclass only says how to open one."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from appmodel.core.people import Account, Login
from appmodel.io.database import Database
from appmodel.io.token_stores import TokenStore
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User

MANY = 100  # logins of one user: more than the tests make


def a_login(digest: str, uid: str = "ann", *, issued: float = 0.0, ttl: float = 600.0) -> Login:
    """Issued now, or so many seconds later; good for `ttl` from now on."""
    now = round(time.time())
    return Login(digest * 64, uid, "d1", "iOS", now + issued, now + ttl)


class TokenStoreContract:
    """The suite."""

    def open_store(self, database: Database) -> AbstractAsyncContextManager[TokenStore]:
        """An empty store; its users are in `database`."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[TokenStore]:
        """An empty store; ann is of tenant t1, bob of none, cyd of a tenant that there is not."""
        rows = [
            Tenant(id="t1", customer_id="c1"),
            User(id="ann", name="ann.a", nickname="Ann", tenant_id="t1", role="admin"),
            User(id="bob", name="bob.b", status=7),
            User(id="cyd", tenant_id="gone", status=-1),
        ]
        await database.write(lambda session: session.add_all(rows))
        async with self.open_store(database) as store:
            yield store

    async def test_what_is_kept_is_found(self, store: TokenStore) -> None:
        """With whom it opens; and others are not found."""
        login = a_login("a")
        await store.keep(login, most=MANY)

        found = await store.find([login.digest, "b" * 64])

        assert list(found) == [login.digest]
        there, account = found[login.digest]
        assert (there.uid, there.device_id, there.device_type) == ("ann", "d1", "iOS")
        assert there.issued == login.issued
        assert abs(there.expires - login.expires) < 0.1
        assert account == Account("ann", "ann.a", "Ann", "admin", "t1", "c1", True)

    async def test_users_are_looked_at(self, store: TokenStore) -> None:
        """Without a tenant, with one that there is not, disabled, and not there at all."""
        logins = [a_login(*one) for one in (("1", "bob"), ("2", "cyd"), ("3", "nobody"))]
        for login in logins:
            await store.keep(login, most=MANY)

        found = await store.find([login.digest for login in logins])

        accounts = [found[login.digest][1] for login in logins]
        assert accounts[0] == Account("bob", "bob.b", "", "member", "", "", True)
        assert accounts[1] == Account("cyd", "", "", "member", "gone", "", False)
        assert accounts[2] is None

    async def test_nothing_asked_nothing_found(self, store: TokenStore) -> None:
        """An empty question is one."""
        assert dict(await store.find([])) == {}

    async def test_the_oldest_go(self, store: TokenStore) -> None:
        """Of one user's; others keep theirs."""
        await store.keep(a_login("9", "bob"), most=2)
        for at, digest in enumerate("abc"):
            await store.keep(a_login(digest, issued=at), most=2)

        found = await store.find([digest * 64 for digest in "abc9"])

        assert sorted(found) == ["9" * 64, "b" * 64, "c" * 64]

    async def test_extending(self, store: TokenStore) -> None:
        """Many at once; what is gone stays gone."""
        for digest in "ab":
            await store.keep(a_login(digest, ttl=60), most=MANY)
        later = time.time() + 5000
        await store.forget("b" * 64, "ann")

        await store.extend([digest * 64 for digest in "abc"], later)

        found = await store.find([digest * 64 for digest in "abc"])
        assert list(found) == ["a" * 64]
        assert abs(found["a" * 64][0].expires - later) < 0.1

    async def test_forgetting_one(self, store: TokenStore) -> None:
        """The others stay; it may be forgotten twice."""
        for digest in "ab":
            await store.keep(a_login(digest), most=MANY)

        for _ in range(2):
            await store.forget("a" * 64, "ann")

        assert list(await store.find(["a" * 64, "b" * 64])) == ["b" * 64]

    async def test_forgetting_all_of_a_user(self, store: TokenStore) -> None:
        """And of nobody else."""
        await store.keep(a_login("9", "bob"), most=MANY)
        for digest in "ab":
            await store.keep(a_login(digest), most=MANY)

        for _ in range(2):
            await store.forget_all("ann")

        assert list(await store.find([digest * 64 for digest in "ab9"])) == ["9" * 64]

    async def test_expired_ones_are_no_trouble(self, store: TokenStore) -> None:
        """They are found as expired or not at all, and are freed."""
        await store.keep(a_login("a", ttl=-5), most=MANY)
        await store.keep(a_login("b"), most=MANY)

        before = await store.find(["a" * 64])
        while await store.sweep(time.time(), limit=1):
            pass

        assert all(login.expires < time.time() for login, _ in before.values())
        assert list(await store.find(["a" * 64, "b" * 64])) == ["b" * 64]

"""Logins in the application's database keep the contract, on each of the three."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appmodel.io.database import Database
from appmodel.io.token_stores import SqlTokens, TokenStore
from tests.contract.token_store import MANY, TokenStoreContract, a_login


class TestSqlTokens(TokenStoreContract):
    @asynccontextmanager
    async def open_store(self, database: Database) -> AsyncIterator[TokenStore]:
        yield SqlTokens(database)

    async def test_one_statement(self, store: TokenStore, database: Database) -> None:
        """Login, user and tenant of any number of tokens are found by one."""
        for digest in "abc":
            await store.keep(a_login(digest), most=MANY)
        before = database.statements

        await store.find([digest * 64 for digest in "abc"])

        assert database.statements == before + 1

    async def test_a_login_is_never_shortened(self, store: TokenStore) -> None:
        """Nodes write uses late, and in any order."""
        login = a_login("a", ttl=600)
        await store.keep(login, most=MANY)

        await store.extend([login.digest], login.expires - 100)

        assert (await store.find([login.digest]))[login.digest][0].expires == login.expires

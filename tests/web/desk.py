"""The use cases about people on a database, without the node around them.

async with open_desk(database) as desk:
    await desk.add("ann", password="secret")             of tenant t1, called Ann
    await desk.accounts.log_in(attempt("ann", "secret"))
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import trio

from appmodel.core.revocations import Revocations
from appmodel.core.user_tokens import TokenSigner
from appmodel.io.database import Database
from appmodel.io.token_stores import SqlTokens
from appmodel.io.user_tokens import TokenLimits, UserTokens
from appmodel.orm.base import Base
from appmodel.orm.people import User
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from web.config import LoginConfig
from web.services.accounts import Accounts, Attempt
from web.services.devices import Devices
from web.services.passwords import Passwords
from web.services.people import People
from web.services.versions import Versions

SECRET = b"a secret of the tests, long enough to sign with"


@dataclass(frozen=True)
class Desk:
    """All of them."""

    database: Database
    tokens: UserTokens
    passwords: Passwords
    accounts: Accounts
    people: People
    devices: Devices
    versions: Versions

    async def add(
        self, uid: str, *, password: str = "", tenant: str = "t1", **columns: Any
    ) -> None:
        """A user; `stored=` is a password as an adopted database has it."""
        stored = columns.pop("stored", "")
        if password:
            stored = await self.passwords.hash(password)
        row = {"name": uid, "nickname": uid.capitalize(), **columns}
        await self.put(User(id=uid, tenant_id=tenant, password=stored, **row))

    async def put(self, *rows: Base) -> None:
        """Rows, as they are."""
        await self.database.write(lambda session: session.add_all(rows))

    async def all(self, *columns: Any) -> list[Any]:
        """These columns of all rows, sorted."""
        rows = await self.database.read(lambda session: session.execute(sa.select(*columns)).all())
        return sorted(tuple(row) if len(row) > 1 else row[0] for row in rows)


@asynccontextmanager
async def open_desk(database: Database, config: LoginConfig | None = None) -> AsyncIterator[Desk]:
    """Cheap hashes, a ledger in memory, and nothing remembered of a login."""
    config = config or LoginConfig()
    ledger = MemoryStore(MessageConfig(store="memory"), now=time.time)
    limits = TokenLimits(
        ttl=3600,
        max_life=86400,
        max_age=3600,
        staleness=0.0,
        per_user=50,
        cached=100,
        kept=3600,
        timeout=5,
    )
    signer = TokenSigner(SECRET)
    tokens = UserTokens(SqlTokens(database), signer, Revocations(), lambda: ledger, limits)
    passwords = Passwords(memory=8, passes=1)
    accounts = Accounts(database, tokens, passwords, config)
    people = People(database, tokens, passwords, accounts, min_password=config.min_password)
    async with trio.open_nursery() as nursery:
        await nursery.start(tokens.run)
        yield Desk(
            database, tokens, passwords, accounts, people, Devices(database), Versions(database)
        )
        nursery.cancel_scope.cancel()


def attempt(name: str, password: str, **options: Any) -> Attempt:
    """Somebody from somewhere wants to log in."""
    return Attempt(name=name, password=password, **{"origin": "203.0.113.7", **options})

"""The logins of users, opened as [tokens] says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import trio

from appmodel.core.revocations import Revocations
from appmodel.core.user_tokens import TokenSigner
from appmodel.io.database import Database
from appmodel.io.peers import Peers
from appmodel.io.token_stores import SqlTokens
from appmodel.io.user_tokens import TokenLimits, UserTokens
from appmodel.runtime.settings import Settings


@asynccontextmanager
async def open_tokens(
    settings: Settings, secret: bytes, database: Database, revocations: Revocations, peers: Peers
) -> AsyncIterator[UserTokens]:
    """Usable until the block ends. No server is touched before the first login.

    Raises:
        ConfigError: tokens.redis.
    """
    config, limits, signer = settings.tokens, _limits(settings), TokenSigner(secret)
    if config.store == "sql":
        tokens = UserTokens(SqlTokens(database), signer, revocations, peers.ledger, limits)
        async with _running(tokens):
            yield tokens
        return
    # imported here: redis-py takes 8 MB and 70 ms from those who do not use it
    from appmodel.io.token_store_redis import RedisTokens

    timeout = settings.database.timeout
    store = RedisTokens(str(config.redis), database, timeout=timeout, max_life=config.max_life)
    with closing(store):
        tokens = UserTokens(store, signer, revocations, peers.ledger, limits)
        async with _running(tokens):
            yield tokens


@asynccontextmanager
async def _running(tokens: UserTokens) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(tokens.run)
        yield
        nursery.cancel_scope.cancel()


def _limits(settings: Settings) -> TokenLimits:
    config, auth = settings.tokens, settings.auth
    return TokenLimits(
        ttl=config.ttl,
        max_life=config.max_life,
        max_age=config.max_age,
        staleness=settings.database.staleness,
        per_user=config.per_user,
        cached=config.cached,
        kept=max(config.max_age, auth.max_ticket_ttl),
        timeout=settings.rpc.call_timeout,
    )

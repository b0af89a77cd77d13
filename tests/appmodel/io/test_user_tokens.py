"""User tokens at work: what lets a user in, for how long, and what ends that."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from appmodel.core.revocations import Revocations, token_subject, user_subject
from appmodel.core.user_tokens import TokenSigner
from appmodel.errors import Forbidden, PushError, Unauthorized, Unavailable
from appmodel.io.database import Database
from appmodel.io.token_stores import Found, SqlTokens
from appmodel.io.user_tokens import TokenLimits, UserTokens
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User, UserToken
from message.config import MessageConfig
from message.stores.memory import MemoryStore

SECRET = b"a secret of the tests, long enough to sign with"
LIMITS = TokenLimits(
    ttl=600,
    max_life=86400,
    max_age=7200,
    staleness=0.0,
    per_user=50,
    cached=1000,
    kept=86400,
    timeout=5,
    flush=0.0,
)

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Clock:
    """Unix time, moved by hand."""

    def __init__(self) -> None:
        self.now = float(round(time.time()))

    def __call__(self) -> float:
        return self.now


class Store(SqlTokens):
    """A store that can be away, and says when uses are written."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.trouble: Callable[[], Awaitable[None]] | None = None
        self.extended = trio.Event()

    async def find(self, digests: Sequence[str]) -> Found:
        if self.trouble is not None:
            await self.trouble()
        return await super().find(digests)

    async def extend(self, digests: Sequence[str], expires: float) -> None:
        try:
            if self.trouble is not None:
                await self.trouble()
            await super().extend(digests, expires)
        finally:
            self.extended.set()

    async def is_away(self) -> None:
        """A trouble."""
        await trio.lowlevel.checkpoint()
        raise Unavailable("the database is away")


class Node:
    """One process with tokens; several share database and ledger."""

    def __init__(
        self, database: Database, ledger: MemoryStore, clock: Clock, limits: TokenLimits
    ) -> None:
        self.revocations = Revocations()
        self.ledger = ledger
        self.store = Store(database)
        self.tokens = UserTokens(
            self.store, TokenSigner(SECRET), self.revocations, self._ledger, limits, now=clock
        )

    def _ledger(self) -> MemoryStore:
        return self.ledger

    async def use(self, text: str) -> None:
        """Use a token, and wait until that is in the store."""
        await self.tokens.verify(text)
        while self.tokens.unwritten:
            await self.store.extended.wait()
            self.store.extended = trio.Event()
            await trio.testing.wait_all_tasks_blocked()  # who waited for it has heard of it

    async def hear(self) -> None:
        """What the poll of the ledger does each second."""
        for revocation in await self.ledger.revocations(self.revocations.position):
            self.revocations.add(revocation)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def nodes(
    database: Database, clock: Clock, *, count: int = 1, limits: TokenLimits = LIMITS
) -> AsyncIterator[list[Node]]:
    """Nodes, and users ann and bob."""
    rows = [Tenant(id="t1"), User(id="ann", tenant_id="t1"), User(id="bob")]
    await database.write(lambda session: session.add_all(rows))
    ledger = MemoryStore(MessageConfig(store="memory"), now=clock)
    async with trio.open_nursery() as nursery:
        opened = [Node(database, ledger, clock, limits) for _ in range(count)]
        for node in opened:
            await nursery.start(node.tokens.run)
        yield opened
        nursery.cancel_scope.cancel()


async def expiry_in(database: Database, digest: str) -> float:
    """What is stored."""

    def read(session: object) -> float:
        row = session.get(UserToken, digest)  # type: ignore[attr-defined]  # a Session
        return float(row.expires.timestamp())

    return await database.read(read)


async def test_a_login_on_all_nodes(database: Database, clock: Clock) -> None:
    """A token of one node proves its owner on the others."""
    async with nodes(database, clock, count=2) as (one, other):
        text = await one.tokens.issue("ann", device_id="d1", device_type="iOS")

        owner, account = await other.tokens.prove(text)

        assert (owner.uid, account.tenant_id) == ("ann", "t1")
        assert owner.expires == pytest.approx(clock.now + 630)


@pytest.mark.parametrize("text", ["", "ann", "ann_", "ann_" + "0" * 82, "ann_Android-d1@user"])
async def test_garbage_costs_no_query(database: Database, clock: Clock, text: str) -> None:
    """However often it comes."""
    async with nodes(database, clock) as (node,):
        before = database.statements
        for _ in range(3):
            with pytest.raises(Unauthorized):
                await node.tokens.verify(text)

        assert database.statements == before


async def test_all_who_ask_at_once_are_one_statement(database: Database, clock: Clock) -> None:
    """10,000 clients that come back are twenty queries; here 300 are one or two."""
    async with nodes(database, clock) as (node,):
        texts = [await node.tokens.issue("ann") for _ in range(30)] * 10
        before = database.statements
        async with trio.open_nursery() as nursery:
            for text in texts:
                nursery.start_soon(node.tokens.verify, text)

        assert database.statements - before <= 2


async def test_what_is_known_is_not_asked_again_for_a_while(
    database: Database, clock: Clock
) -> None:
    """Within the bound; never beyond it."""
    async with nodes(database, clock, limits=replace(LIMITS, staleness=3600.0)) as (node,):
        text = await node.tokens.issue("ann")
        await node.tokens.verify(text)
        before = database.statements
        for _ in range(10):
            await node.tokens.verify(text)

        assert database.statements == before


async def test_use_lets_it_live(database: Database, clock: Clock) -> None:
    """Sliding: `ttl` from the last use on any node, and then it is over."""
    async with nodes(database, clock, count=2) as (one, other):
        text = await one.tokens.issue("ann")
        for node in (one, other, one, other):
            clock.now += 590
            await node.use(text)
        clock.now += 631

        for node in (one, other):
            with pytest.raises(Unauthorized):
                await node.tokens.verify(text)


async def test_use_is_written_rarely(database: Database, clock: Clock) -> None:
    """Once in ttl / 20, however often the token is used; and behind the call."""
    async with nodes(database, clock, limits=replace(LIMITS, staleness=3600.0)) as (node,):
        text = await node.tokens.issue("ann")
        digest = (await node.tokens.verify(text)).digest
        clock.now += 31
        await node.use(text)
        moved = await expiry_in(database, digest)
        before = database.statements
        for _ in range(20):
            clock.now += 1
            await node.tokens.verify(text)

        assert moved == pytest.approx(clock.now - 20 + 630)
        assert not node.tokens.unwritten
        assert database.statements == before


async def test_no_use_makes_it_older_than_it_may_be(database: Database, clock: Clock) -> None:
    """`max_life` ends it."""
    async with nodes(database, clock) as (node,):
        text = await node.tokens.issue("ann")
        for _ in range(24 * 6):
            clock.now += 599
            await node.tokens.verify(text)
        clock.now += 601

        with pytest.raises(Unauthorized, match="expired"):
            await node.tokens.verify(text)


async def test_a_logout(database: Database, clock: Clock) -> None:
    """One login ends, here at once; elsewhere at the next poll, or as soon as the store is asked."""
    async with nodes(database, clock, count=2) as (one, other):
        first, second = [await one.tokens.issue("ann") for _ in range(2)]
        owner = await other.tokens.verify(first)

        await one.tokens.revoke(first, "ann")

        for node in (one, other):
            with pytest.raises(Unauthorized):
                await node.tokens.verify(first)
            assert (await node.tokens.verify(second)).uid == "ann"
        await other.hear()
        assert other.revocations.is_revoked(token_subject(owner.digest), owner.issued)
        with pytest.raises(Unauthorized, match="revoked"):
            other.tokens.verify_signature(first, now=clock.now)


async def test_only_own_logins_can_be_ended(database: Database, clock: Clock) -> None:
    """Not others', and not what is no token at all (W4); an ended one may be ended again."""
    async with nodes(database, clock) as (node,):
        text = await node.tokens.issue("ann")
        for other in (text, "ann_Android-d1@user", "bob_" + "0" * 82):
            with pytest.raises(Forbidden):
                await node.tokens.revoke(other, "bob")
        assert (await node.tokens.verify(text)).uid == "ann"

        await node.tokens.revoke(text, "ann")
        await node.tokens.revoke(text, "ann")


async def test_all_logins_of_a_user(database: Database, clock: Clock) -> None:
    """End at once, and nobody else's; a login after that is good."""
    async with nodes(database, clock, count=2) as (one, other):
        texts = [await one.tokens.issue("ann") for _ in range(3)]
        bobs = await one.tokens.issue("bob")
        audience = one.tokens.audience_token("ann", "a1")
        clock.now += 1

        await one.tokens.revoke_all("ann")
        again = await one.tokens.issue("ann")
        await other.hear()

        for node in (one, other):
            for text in texts:
                with pytest.raises(Unauthorized):
                    await node.tokens.verify(text)
            with pytest.raises(Unauthorized):
                node.tokens.verify_audience(audience, "a1")
            assert (await node.tokens.verify(again)).uid == "ann"
            assert (await node.tokens.verify(bobs)).uid == "bob"
        assert one.revocations.is_revoked(user_subject("ann"), clock.now - 1)


async def test_who_is_disabled_or_gone_is_out(database: Database, clock: Clock) -> None:
    """The user, or the tenant."""

    async def is_in(node: Node, text: str) -> bool:
        try:
            await node.tokens.verify(text)
        except Unauthorized:
            return False
        return True

    async def set_status(kind: type[User] | type[Tenant], key: str, status: int) -> None:
        def write(session: object) -> None:
            session.get(kind, key).status = status  # type: ignore[attr-defined]  # a Session

        await database.write(write)

    async with nodes(database, clock) as (node,):
        text = await node.tokens.issue("ann")
        assert await is_in(node, text)
        for kind, key in ((User, "ann"), (Tenant, "t1")):
            await set_status(kind, key, -1)
            assert not await is_in(node, text)
            await set_status(kind, key, 3)
            assert await is_in(node, text)
        await database.write(
            lambda session: session.delete(session.get(User, "ann")),
        )
        assert not await is_in(node, text)


async def test_while_the_database_is_away(database: Database, clock: Clock) -> None:
    """Unavailable, not a wrong token; by its signature it is good for `max_age`."""
    async with nodes(database, clock) as (node,):
        text = await node.tokens.issue("ann")
        node.store.trouble = node.store.is_away
        with pytest.raises(Unavailable):
            await node.tokens.verify(text)

        owner = node.tokens.verify_signature(text, now=clock.now + 7199)
        assert (owner.uid, owner.expires) == ("ann", owner.issued + 7200)
        with pytest.raises(Unauthorized):
            node.tokens.verify_signature(text, now=clock.now + 7200)


async def test_asking_can_be_cancelled_at_once(database: Database, clock: Clock) -> None:
    """A database that hangs keeps no client's task."""
    async with nodes(database, clock) as (node,):
        text = await node.tokens.issue("ann")
        node.store.trouble = trio.sleep_forever
        with trio.move_on_after(0.01) as scope:
            await node.tokens.verify(text)

        assert scope.cancelled_caught


async def test_uses_wait_for_a_database_that_is_away(database: Database, clock: Clock) -> None:
    """They are written when it is back."""
    async with nodes(database, clock, limits=replace(LIMITS, staleness=3600.0)) as (node,):
        text = await node.tokens.issue("ann")
        digest = (await node.tokens.verify(text)).digest
        clock.now += 100
        node.store.trouble = node.store.is_away
        await node.tokens.verify(text)
        await node.store.extended.wait()
        assert node.tokens.unwritten == 1
        node.store.trouble = None
        await node.use(text)

        assert await expiry_in(database, digest) == pytest.approx(clock.now + 630)


async def test_what_is_remembered_is_bounded(database: Database, clock: Clock) -> None:
    """The logins that were asked for first are forgotten."""
    limits = replace(LIMITS, cached=3, staleness=3600.0)
    async with nodes(database, clock, limits=limits) as (node,):
        for _ in range(5):
            await node.tokens.verify(await node.tokens.issue("ann"))

        assert len(node.tokens._known) == 3


async def test_a_ledger_that_is_away(database: Database, clock: Clock) -> None:
    """The caller learns that others may not know yet; here and in the database the login is over."""

    class Away(MemoryStore):
        async def revoke(self, *_: object, **__: object) -> None:
            await trio.lowlevel.checkpoint()
            raise Unavailable("no message node")

    async with nodes(database, clock) as (node,):
        text = await node.tokens.issue("ann")
        node.ledger = Away(MessageConfig(store="memory"))
        with pytest.raises(PushError):
            await node.tokens.revoke(text, "ann")

        with pytest.raises(Unauthorized):
            await node.tokens.verify(text)

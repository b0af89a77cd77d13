"""One client id, one connection: the owner of its key is the arbiter of all comets.

    comet.claim    a comet asks the owner whether its client may come in
    comet.prove    the owner asks the comet that may have the id: does your client show life? One that does
                   not is ousted there, before the answer
    comet.oust     the owner tells a comet that its client is the younger of two
    comet.take     a comet tells the owner that its client comes in, whoever has the id
    comet.yield    the owner tells the comet that had it

A claim takes its place here first, so of two on one comet the second finds the first. Then the owner is
asked: it grants what nobody else has, and without waiting between look and grant, so of several comets
that ask at once one is first, and the others find it. What is not granted yet stands in nobody's way
elsewhere, so one does come in. Whoever has the id is asked for a proof of life
(a WebSocket answers a ping, a poll comes again): if there is none, its client has gone without a word,
and must not be kept out by its own ghost until that times out.

A grant is confirmed by the attachment of the client's key, and lives as long: so nothing has to be
told when a client goes, and a comet that is gone takes all its claims along. What holds while the
cluster changes:

    a new owner          learns from attachments, within about 0.2 s; a second client may slip through till then
    two owners           views differ for a moment: each may grant once
    an owner is away     the claim waits `claim_timeout` for another one, then the client comes in
    a holder is away     it proves nothing, so the newer client comes in

Each of these may leave two connections. The owner looks for keys that more than one comet has attached,
a few times per lease: both must show life, and of those that do the eldest stays.

Of a device of Mpush the newest wins (`take`): nobody is asked for life, and of two that slipped through the youngest
stays. The owner decides who is newest: whose `take` came last. Of one comet's that is who has the higher number.
"""

import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
import structlog
import trio
from msgspec import Meta

from appmodel.core.cluster import Node
from appmodel.core.message import Instant
from appmodel.core.names import Key, check_keys
from appmodel.core.realms import Claimant, is_client_key
from appmodel.errors import PushError
from appmodel.io.calls import Call, Caller
from appmodel.io.rpc_server import Handlers
from comet.config import ClusterConfig
from comet.core.claiming import ClaimBook, Held, Process, Rival, process
from comet.core.holders import Holders
from comet.core.standing import Standing
from comet.io.sweeper import STEP

log = structlog.get_logger("comet")

LONGEST_PAUSE = 0.5  # seconds between two tries to reach an owner
CALL = 0.5  # seconds for the way to a comet and back, beside what it does
AT_ONCE = 64  # pairs of connections that are looked into together


Number = Annotated[int, Meta(ge=0, lt=2**53)]  # of a claim on its comet


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A comet's claim for one of its clients."""

    key: Key
    holder: Node  # who asks
    number: Number


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """A client of that comet has the id, and has shown life."""

    number: Number
    since: Instant


CLAIM = Call[Asked, bool]("comet.claim")  # whether it is granted
PROVE = Call[tuple[Key, Number | None], Proof | None]("comet.prove")  # see `Rival.number`
OUST = Call[tuple[Key, Number], bool]("comet.oust")  # whether it was there
TAKE = Call[Asked, bool]("comet.take")  # False: a newer one has come meanwhile
YIELD = Call[tuple[Key, Number | None], bool](
    "comet.yield"
)  # see `Rival.number`; whether it was there


class ClusterClaims:
    """The `Claims` of one comet, and its part in those of others. `run` must be running."""

    def __init__(
        self,
        *,
        me: Callable[[], Node],
        standing: Callable[[], Standing],
        holders: Holders,
        caller: Callable[[Node], Caller],
        config: ClusterConfig,
        now: Callable[[], float],
    ) -> None:
        """`caller(node)`: raises PushError if it cannot be called. `now`: Unix seconds, steady."""
        self._me, self._standing, self._holders = me, standing, holders
        self._caller, self._config, self._now = caller, config, now
        self._book = ClaimBook(holders)
        self._numbers = itertools.count()
        self._turns: dict[Key, trio.Lock] = {}  # of keys that are being taken
        self.refused = 0  # claims of an id that somebody has
        self.ousted = 0  # connections that ended for another one with their id
        self.unasked = 0  # claims that counted as granted, because no owner could be asked

    def __len__(self) -> int:
        """Client ids of connections here."""
        return len(self._book.held)

    @property
    def handlers(self) -> Handlers:
        """The table of the listener for other comets."""

        async def claim(asked: Asked) -> bool:
            check_keys([asked.key])
            return await self._arbitrate(asked.key, Rival(asked.holder, asked.number))

        async def prove(asked: tuple[Key, int | None]) -> Proof | None:
            return await self._prove(*asked)

        async def oust(asked: tuple[Key, int]) -> bool:
            await trio.lowlevel.checkpoint()
            return self._oust(*asked)

        async def take(asked: Asked) -> bool:
            check_keys([asked.key])
            return await self._arbitrate_newest(asked.key, Rival(asked.holder, asked.number))

        async def give_way(asked: tuple[Key, int | None]) -> bool:
            await trio.lowlevel.checkpoint()
            return self._yield(*asked)

        return dict(
            [
                CLAIM.answered_by(claim),
                PROVE.answered_by(prove),
                OUST.answered_by(oust),
                TAKE.answered_by(take),
                YIELD.answered_by(give_way),
            ]
        )

    async def claim(self, key: Key, claimant: Claimant) -> bool:
        """See `Claims`. Waits for nobody if the id was free and its key is ours."""
        held = Held(claimant, next(self._numbers), self._now())
        try:
            if await self._take_place(key, held) and await self._ask(key, held.number):
                # unless it was silent when it was asked for a proof, and is ousted
                held.is_settled = self._book.held.get(key) is held
        finally:
            if not held.is_settled:
                self.release(key, claimant)
        self.refused += not held.is_settled
        return held.is_settled

    async def take(self, key: Key, claimant: Claimant) -> bool:
        """Whether `claimant` has `key` now, and nobody else; False: a newer one has it already.

        Whoever had it here is ousted at once, on other comets before this returns, but for those that cannot be
        reached. Cancelling is safe: then nothing is claimed. Waits for nobody if its key is ours.
        """
        held = Held(claimant, next(self._numbers), self._now())
        rival = self._book.held.get(key)
        if rival is not None:
            self._oust(key, rival.number)
        self._book.held[key] = held
        try:
            async with self._turn(key):
                if self._book.held.get(key) is held:
                    is_granted = await self._ask(key, held.number, newest=True)
                    held.is_settled = is_granted and self._book.held.get(key) is held
        finally:
            if not held.is_settled:
                self.release(key, claimant)
        return held.is_settled

    @asynccontextmanager
    async def _turn(self, key: Key) -> AsyncIterator[None]:
        """One `take` of a key asks at a time: one that overtook another would oust whoever came in between."""
        lock = self._turns.setdefault(key, trio.Lock())
        try:
            lock.acquire_nowait()
        except trio.WouldBlock:
            await lock.acquire()
        try:
            yield
        finally:
            if not lock.statistics().tasks_waiting:
                del self._turns[key]
            lock.release()

    def release(self, key: Key, claimant: Claimant) -> None:
        """See `Claims`."""
        held = self._book.held.get(key)
        if held is not None and held.claimant is claimant:
            del self._book.held[key]

    async def run(self) -> None:
        """Look for ids that two have, and forget grants that were made use of, until cancelled."""
        while True:
            await trio.sleep(self._config.lease / 3)
            kept = self._config.lease + 2 * self._config.claim_timeout
            self._book.forget_grants(trio.current_time() - kept)
            await self._separate(await self._crowded())

    # A client of ours

    async def _take_place(self, key: Key, held: Held) -> bool:
        """Whether nobody else here has `key`: then it is kept for this one."""
        while (rival := self._book.held.get(key)) is not None:
            if await rival.claimant.shows_life(self._config.claim_proof):
                return False
            self._oust(key, rival.number)
        self._book.held[key] = held
        return True

    async def _ask(self, key: Key, number: int, *, newest: bool = False) -> bool:
        """What the owner says, whoever that is by now."""
        arbitrate, call = (self._arbitrate_newest, TAKE) if newest else (self._arbitrate, CLAIM)
        pause, patience = (
            0.02,
            self._config.claim_proof + 2 * CALL,
        )  # it may have to ask another one
        with trio.move_on_after(self._config.claim_timeout):
            while True:
                owner, me = self._standing().elsewhere(key), self._me()
                if owner is None:
                    return await arbitrate(key, Rival(me, number))
                try:
                    asked = Asked(key, me, number)
                    return await self._caller(owner).call(call, asked, timeout=patience)
                except PushError as error:
                    log.debug("claim not heard", key=str(key), owner=owner.name, error=str(error))
                await trio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  jitter is no secret
                pause = min(2 * pause, LONGEST_PAUSE)
        self.unasked += 1
        return True

    # A client id of ours, as its owner

    async def _arbitrate(self, key: Key, asking: Rival) -> bool:
        """Whether that claim may come in: nobody else has `key`, and shows life."""
        book, is_remote = self._book, not asking.node.is_same_process(self._me())
        cleared: set[Process] = set()
        while True:
            held = book.held.get(key) if is_remote else None
            if held is not None:  # also one that waits for us: it came first
                if await self._prove(key, held.number) is not None:
                    return False
                continue  # somebody may have come meanwhile
            rival = book.rival(key, asking.node, cleared)
            if rival is None:
                break
            if await self._proof(rival, key) is not None:
                return False
            book.revoke(key, rival)
            cleared.add(process(rival.node))
        if is_remote:
            book.grant(key, asking, trio.current_time())
        return True

    async def _arbitrate_newest(self, key: Key, asking: Rival) -> bool:
        """That claim has the key from now on: whoever else may have it goes. Whether it is still the newest then."""
        book, is_remote = self._book, not asking.node.is_same_process(self._me())
        if book.has_granted_newer(key, asking):
            return False  # that comet's calls overtook one another
        rivals = book.rivals(key, asking.node)
        mine = book.held.get(key)
        book.grant(key, asking, trio.current_time())
        if is_remote and mine is not None:
            self._oust(key, mine.number)
        if rivals:
            async with trio.open_nursery() as nursery:
                for rival in rivals:
                    nursery.start_soon(self._give_way, key, rival)
        newest = book.granted.get(key)
        return newest is not None and newest.rival == asking

    async def _give_way(self, key: Key, rival: Rival) -> None:
        """That comet's client goes. One that cannot be reached is found by the next look for two."""
        if rival.node.is_same_process(self._me()) or self._standing().view.find(rival.node) is None:
            return
        try:
            await self._caller(rival.node).call(YIELD, (key, rival.number), timeout=CALL)
        except PushError as error:
            log.warning("cannot oust", holder=rival.node.name, error=str(error))

    def _yield(self, key: Key, number: int | None) -> bool:
        """End the connection of that claim, or whose is settled, for a newer one elsewhere; whether it was there."""
        held = self._book.held.get(key)
        if held is None or not (held.is_settled if number is None else held.number == number):
            return False
        return self._oust(key, held.number)

    async def _proof(self, rival: Rival, key: Key) -> Proof | None:
        """What that comet says; None also if nobody can tell."""
        node = rival.node
        if node.is_same_process(self._me()):
            return await self._prove(key, rival.number)
        if self._standing().view.find(node) is None:
            return None
        try:
            patience = self._config.claim_proof + CALL
            return await self._caller(node).call(PROVE, (key, rival.number), timeout=patience)
        except PushError as error:
            log.warning("no proof of life", holder=node.name, error=str(error))
            return None

    async def _prove(self, key: Key, number: int | None) -> Proof | None:
        """Of a client of ours: the one with that claim, or who is settled. Without life it is ousted."""
        held = self._book.held.get(key)
        if held is None or not (held.is_settled if number is None else held.number == number):
            await trio.lowlevel.checkpoint()
            return None
        if await held.claimant.shows_life(self._config.claim_proof):
            return Proof(held.number, held.since)
        self._oust(key, held.number)
        return None

    def _oust(self, key: Key, number: int) -> bool:
        """End the connection with that claim; whether it was there."""
        held = self._book.held.get(key)
        if held is None or held.number != number:
            return False
        del self._book.held[key]
        self.ousted += 1
        held.claimant.oust("another connection has its client id")
        return True

    # Two that have one id

    async def _crowded(self) -> list[Key]:
        """Client keys of ours that more than one comet has."""
        found: list[Key] = []
        for number, key in enumerate(self._holders.keys):
            if (is_client_key(key) or key.is_queue) and self._book.candidates(key):
                found.append(key)
            if number % STEP == STEP - 1:
                await trio.lowlevel.checkpoint()
        return found

    async def _separate(self, keys: Sequence[Key]) -> None:
        """Leave the eldest of each that shows life."""
        for start in range(0, len(keys), AT_ONCE):
            async with trio.open_nursery() as nursery:
                for key in keys[start : start + AT_ONCE]:
                    nursery.start_soon(self._leave_one, key)

    async def _leave_one(self, key: Key) -> None:
        """The eldest; of a device's connections the youngest."""
        alive: list[tuple[float, str, Rival]] = []
        for node in (*self._book.candidates(key), self._me()):
            proof = await self._proof(Rival(node, None), key)
            if proof is not None:
                alive.append((proof.since, node.name, Rival(node, proof.number)))
        alive.sort(key=lambda one: one[:2], reverse=key.is_queue)
        for _, name, (node, number) in alive[1:]:
            assert number is not None
            log.warning("two connections of one client", key=str(key), leaves=name)
            if node.is_same_process(self._me()):
                self._oust(key, number)
                continue
            try:
                await self._caller(node).call(OUST, (key, number), timeout=CALL)
            except PushError as error:  # the next look finds both again
                log.warning("cannot oust", holder=name, error=str(error))

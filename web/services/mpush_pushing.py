"""A push of Mpush: whom it is for, its way into the queues, and the wait for what becomes of it.

    targets ─> names that exist ─> one Push ─> stored, offered ─> nobody there      offline   at once
               others: no                                        └> wait for acks ─> ok        at the ack
                                                                                     online    at the end of the wait

A web hook is a device that is always there. A message is stored before anybody answers: `ok`, `online` and `offline` all mean that it is not lost. A caller that
hangs up changes nothing. The time of the wait begins when the push was accepted.

Source: spec/mpush.md 7.2, 7.3, 11.5, 13. Version 2.2 waits for those too who are away, as they may come.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import trio

from appmodel.core.message import Push
from appmodel.core.mpush import check_name, device_key, mid_of
from appmodel.core.mpush_steps import copy_words
from appmodel.core.mpush_stores import Delayed, Delays, Receiver
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.errors import OutcomeUnknown, TooManyNames, Unavailable
from web.core.mpush_paths import Aim, Target, spellings
from web.core.mpush_states import Fate, State
from web.core.orders import Outcome, Sent
from web.services.push_ids import fresh_push_id
from web.services.pushing import Pushing


class Known(Protocol):
    """Which devices there are: remembered, and a miss is asked for."""

    async def exists(self, name: str) -> bool:
        """Whether there is such a device. Raises Unavailable."""

    async def members(self, group: str) -> Sequence[str]:
        """Devices in a group, by their names. Raises Unavailable."""

    async def receivers_of(self, names: Sequence[str]) -> Mapping[str, Sequence[Receiver]]:
        """Who gets copies, by device; without those that have nobody. Raises Unavailable."""


class Meant(NamedTuple):
    """A target as it is called."""

    name: str
    is_group: bool = False
    exists: bool = True  # of a group nobody asks


class Patience(NamedTuple):
    """How long a caller waits for acknowledgements."""

    seconds: float
    for_absent: bool = False  # also for devices that are not there; then copies have words


class MpushRules(NamedTuple):
    """What one call may do."""

    targets: int  # devices
    ttl: float  # seconds that a message waits for its device
    hooks: Collection[str] = ()  # devices that are web hooks


class MpushPushing:
    """Pushes to devices and groups."""

    def __init__(
        self,
        pushing: Pushing,
        known: Known,
        waits: MpushWaits,
        delays: Delays,
        rules: MpushRules,
        *,
        now: Callable[[], float],
    ) -> None:
        """`now`: Unix seconds."""
        self._pushing, self._known, self._waits, self._delays = pushing, known, waits, delays
        self._rules, self.now = rules, now
        self.answered: Counter[State] = Counter()  # by what callers heard of each device

    async def find(self, name: str) -> str | None:
        """What the device is called that somebody means by `name`; None: there is none.

        Raises:
            BadInput: no device can be called so.
            Unavailable: the database is away.
        """
        if not name:
            return None
        for spelling in spellings(check_name(name)):
            if await self._known.exists(spelling):
                return spelling
        return None

    async def meant(self, aim: Aim) -> list[Meant]:
        """Whom a path means: with commas in it, one device if there is such a one. Raises as `find`."""
        if len(aim.parts) > 1 and (whole := await self.find(aim.whole)) is not None:
            return [Meant(whole)]
        return [await self._meant(part) for part in aim.parts]

    async def _meant(self, target: Target) -> Meant:
        if target.is_group:
            return Meant(check_name(target.name, field="group"), is_group=True)
        found = await self.find(target.name)
        return Meant(found or target.name, exists=found is not None)

    async def push(
        self, targets: Sequence[Meant], body: bytes, patience: Patience
    ) -> dict[str, Fate]:
        """What became of it at each device, in their order; of a group without members nothing.

        Raises:
            TooManyNames: more devices than one call may push to.
            PushError: it is nowhere, or nobody knows.
        """
        until = trio.current_time() + patience.seconds
        names = await self._names(targets)
        there = [name for name, is_there in names.items() if is_there]
        outcome = await self._send(there, body, fresh_push_id(), self._rules.ttl)
        sent = {name: outcome.sent.get(device_key(name)) for name in names}
        acked = await self._acked(sent, patience, until)
        fates = {name: self._fate(name, names[name], one, acked) for name, one in sent.items()}
        if patience.for_absent:
            fates = await self._with_copies(fates, sent)
        self.answered.update(fate.state for fate in fates.values())
        return fates

    async def delay(self, targets: Sequence[Meant], body: bytes, due: float) -> str:
        """Keep it until `due` (Unix seconds), for those that exist: the id to cancel it by.

        Members of a group are those that it has then.

        Raises:
            LimitReached: too much waits already; nothing is kept.
            PushError: the database is away.
        """
        delayed_id = fresh_push_id().hex()
        await self._delays.put(
            [self._delayed(delayed_id, each, body, due) for each in targets if each.exists]
        )
        return delayed_id

    async def push_delayed(self, delayed: Delayed) -> None:
        """Its time has come. Nobody waits for acknowledgements; of a device that is gone nothing is left.

        Raises:
            PushError: not everybody has it, or nobody knows. Repeating it is safe: its id is its push id.
        """
        target = Target(delayed.target, is_group=delayed.is_group)
        names = await self._names([await self._meant(target)])
        there = [name for name, is_there in names.items() if is_there]
        push_id = bytes.fromhex(delayed.id)
        outcome = await self._send(there, delayed.body, push_id, delayed.ttl)
        if missing := [name for name in there if device_key(name) not in outcome.sent]:
            raise OutcomeUnknown(f"{len(missing)} of {len(there)} devices did not get it")

    def _delayed(self, delayed_id: str, target: Meant, body: bytes, due: float) -> Delayed:
        return Delayed(
            delayed_id,
            target.name,
            round(due * 1000),
            body,
            round(self._rules.ttl),
            target.is_group,
            round(self.now() * 1000),
        )

    async def _names(self, targets: Sequence[Meant]) -> dict[str, bool]:
        """Devices, and whether they exist; no name twice."""
        names: dict[str, bool] = {}
        for target in targets:
            if target.is_group:
                names |= dict.fromkeys(await self._known.members(target.name), True)
            else:
                names[target.name] = target.exists
        if len(names) > self._rules.targets:
            raise TooManyNames(f"targets: {len(names)} devices, at most {self._rules.targets}")
        return names

    async def _send(self, names: Sequence[str], body: bytes, push_id: bytes, ttl: float) -> Outcome:
        """Raises PushError if none of them got it."""
        push = Push(push_id, tuple(map(device_key, names)), body, self.now() + ttl)
        if not names:
            return Outcome(push)
        [outcome] = await self._pushing.push([push])
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def _acked(
        self, sent: Mapping[str, Sent | None], patience: Patience, until: float
    ) -> set[str]:
        """Who acknowledged it in time."""
        awaited = {
            name: Awaited(device_key(name), one.id)
            for name, one in sent.items()
            if one and (self._is_there(name, one) or patience.for_absent)
        }
        if not awaited:
            return set()
        seconds = max(0.0, until - trio.current_time())
        answers = await self._waits.wait(tuple(awaited.values()), seconds)
        return {name for name, is_acked in zip(awaited, answers, strict=True) if is_acked}

    def _is_there(self, name: str, sent: Sent) -> bool:
        return sent.online > 0 or name in self._rules.hooks

    def _fate(self, name: str, exists: bool, sent: Sent | None, acked: Collection[str]) -> Fate:
        if not exists:
            return Fate(State.NO)
        if sent is None:
            return Fate(State.FAILED)
        is_there = self._is_there(name, sent)
        state = State.OK if name in acked else State.ONLINE if is_there else State.OFFLINE
        return Fate(state, mid_of(sent.id))

    async def _with_copies(
        self, fates: Mapping[str, Fate], sent: Mapping[str, Sent | None]
    ) -> dict[str, Fate]:
        """With what is known of copies; without it if the database is away: the push has happened."""
        ids = {n: one.id for n, one in sent.items() if one and fates[n].state is not State.OK}
        try:
            receivers = await self._known.receivers_of(list(ids))
        except Unavailable:
            return dict(fates)
        kinds = {name: {each.kind for each in those} for name, those in receivers.items()}
        words = await copy_words(self._waits, ids, kinds)
        return {name: fate._replace(copy=words.get(name, "")) for name, fate in fates.items()}

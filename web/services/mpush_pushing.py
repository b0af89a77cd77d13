"""A push of Mpush: whom it is for, its way into the queues, and the wait for what becomes of it.

    targets ─> names that exist ─> one Push ─> stored, offered ─> nobody there      offline   at once
               others: no                                        └> wait for acks ─> ok        at the ack
                                                                                     online    at the end of the wait

A message is stored before anybody answers: `ok`, `online` and `offline` all mean that it is not lost. A caller that
hangs up changes nothing. The time of the wait begins when the push was accepted.

Source: spec/mpush.md 7.2, 7.3, 11.5, 13. Version 2.2 waits for those too who are away, as they may come.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import trio

from appmodel.core.message import Push
from appmodel.core.mpush import check_name, device_key, mid_of
from appmodel.core.mpush_stores import Delayed, Delays
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.errors import OutcomeUnknown, TooManyNames
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


class Meant(NamedTuple):
    """A target as it is called."""

    name: str
    is_group: bool = False
    exists: bool = True  # of a group nobody asks


class Patience(NamedTuple):
    """How long a caller waits for acknowledgements."""

    seconds: float
    for_absent: bool = False  # also for devices that are not there


class MpushRules(NamedTuple):
    """What one call may do."""

    targets: int  # devices
    ttl: float  # seconds that a message waits for its device


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
        pushed: Callable[[Mapping[str, int]], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            pushed: told the id of what was stored, by device, before the wait: receivers get copies.
            now: Unix seconds.
        """
        self._pushing, self._known, self._waits, self._delays = pushing, known, waits, delays
        self._rules, self._pushed, self.now = rules, pushed, now
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
        await self._pushed({name: one.id for name, one in sent.items() if one})
        acked = await self._acked(sent, patience, until)
        fates = {name: _fate(names[name], one, name in acked) for name, one in sent.items()}
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
        await self._pushed({name: outcome.sent[device_key(name)].id for name in there})

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
            if one and (one.online or patience.for_absent)
        }
        if not awaited:
            return set()
        seconds = max(0.0, until - trio.current_time())
        answers = await self._waits.wait(tuple(awaited.values()), seconds)
        return {name for name, is_acked in zip(awaited, answers, strict=True) if is_acked}


def _fate(exists: bool, sent: Sent | None, is_acked: bool) -> Fate:
    if not exists:
        return Fate(State.NO)
    if sent is None:
        return Fate(State.FAILED)
    state = State.OK if is_acked else State.ONLINE if sent.online else State.OFFLINE
    return Fate(state, mid_of(sent.id))

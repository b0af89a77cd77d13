"""Making a push of light-push: check it, keep it, send it, answer its id. REST and clients do the same.

    fields ─> Draft ─> PushBook.create ─> id ─> Push to the room's key ─> (id, clients that got it now)
              Refusal  Unavailable              nobody waits for clients

    extra: "lost"    kept and counted, and not sent: for testing what clients do about it
    leaveMessage     whoever has not acknowledged it after `offline_after` is looked after by web
    except           one client that is not sent it

What is kept is a push with an id: if comets cannot be reached then, it is answered all the same, with nobody
expected, for a caller that repeats it would make another one. Comets count the frames that they write
(`Push.tally`). Source: spec/liutian-push.md sections 4.5, 6.1 and D1.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from appmodel.core.lightpush_push import PushLimits, check_push, push_event
from appmodel.core.lightpush_records import Draft, Namespace
from appmodel.core.lightpush_stores import PushBook
from appmodel.core.message import PUSH_ID, Delivery, Push
from appmodel.core.realms import room_key
from appmodel.errors import NoNode, PushError

LOST = "lost"  # the only `extra` that means something

log = structlog.get_logger(__name__)


class Sender(Protocol):
    """Whoever sends pushes to the owners of their keys, and tries again where that is safe."""

    async def push(self, pushes: Sequence[Push], /) -> Sequence[Delivery | PushError]:
        """One outcome per push, in their order."""


class Members(Protocol):
    """Who is in which room: `Attendance`, or what is as good."""

    async def is_present(self, namespace: str, room: str, client: str) -> bool:
        """Whether it is in `room`, connected."""


class Made(NamedTuple):
    """A push that is kept."""

    id: int
    expected: int  # clients that were there to get it: `expectAckCount`


class LightPushing:
    """Makes pushes of all namespaces."""

    def __init__(
        self,
        sender: Sender,
        book: PushBook,
        members: Members,
        *,
        limits: PushLimits,
        offline_after: int,
        now: Callable[[], int],
    ) -> None:
        """
        Args:
            members: asked whether a client that is spared would have been there.
            offline_after: ms after a push with `leaveMessage` when absent clients are looked after.
            now: Unix ms.
        """
        self._sender, self._book, self._members = sender, book, members
        self._limits, self._offline_after, self._now = limits, offline_after, now
        self.made = 0
        self.unsent = 0  # kept, and then no comet could be reached

    async def push(self, fields: Mapping[str, object], namespace: Namespace | None) -> Made:
        """Push what `fields` say into `namespace`; None: there is no such namespace.

        Cancelling may leave a push that is kept and not sent.

        Raises:
            Refusal: the fields or the namespace do not allow it; nothing is kept.
            Unavailable: the book is away; nothing is kept.
            OutcomeUnknown: it may be kept, and was not sent.
        """
        draft = check_push(fields, namespace, self._limits, now=self._now())
        after = self._offline_after if draft.leave_message else None
        number = await self._book.create(draft, offline_after=after)
        self.made += 1
        return Made(number, 0 if draft.extra == LOST else await self._send(number, draft))

    async def _send(self, number: int, draft: Draft) -> int:
        push = Push(
            push_id=secrets.token_bytes(PUSH_ID),
            keys=(room_key(draft.namespace, draft.room),),
            body=push_event(number, draft),
            without=draft.without or "",
            tally=number,
        )
        (outcome,) = await self._sender.push((push,))
        if isinstance(outcome, Delivery):
            return sum(outcome.online) - await self._spared(draft, outcome)
        if not isinstance(outcome, NoNode):  # without a comet there is nobody to get it
            self.unsent += 1
            log.warning("push is kept and not sent", id=number, error=str(outcome))
        return 0

    async def _spared(self, draft: Draft, outcome: Delivery) -> int:
        """How many of those who were there were not sent it: owners count all that have joined the room."""
        if draft.without is None or not any(outcome.online):
            return 0
        try:
            is_there = await self._members.is_present(draft.namespace, draft.room, draft.without)
        except PushError:  # it has gone out: one too many expected is better than none made
            return 0
        return int(is_there)

"""What a device of version 2.2 pushes over its WebSocket, and what it hears of it.

    MESSAGE to a device or group -> stored for each -> MESSAGE_REPLY {mid, status by device}

The answer comes when all have acknowledged, at once when there is nobody, else after a while with the states so far:
`ready` for who is away, `wait` for who was sent it, the word of a copy beside the socket (appmodel/core/mpush_steps.py),
`ok`, `no`. Who pushes needs a token that allows it.

Source: spec/mpush.md 11.2, 11.5, 11.6.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import structlog
import trio

from appmodel.core.interfaces import Pusher
from appmodel.core.message import PUSH_ID, Delivery, Push
from appmodel.core.mpush import Sender, check_name, device_key, mid_of, write_body
from appmodel.core.mpush_commands import Send
from appmodel.core.mpush_steps import copy_words
from appmodel.core.mpush_stores import Devices, ReceiverKind, Receivers
from appmodel.core.mpush_tokens import Grant, Right, as_group
from appmodel.core.mpush_waits import MAX_AWAITED, Awaited, MpushWaits
from appmodel.errors import Forbidden, LimitReached, PushError

log = structlog.get_logger("comet")

MEMBERS: Final = MAX_AWAITED  # of a group that is pushed to: as many as one call waits for


class Pushing:
    """Of one comet."""

    def __init__(
        self,
        *,
        devices: Devices,
        receivers: Receivers,
        pusher: Pusher,
        waits: MpushWaits,
        ttl: float,
        patience: float,
        hooks: Collection[str],
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            ttl: seconds that a message waits for its device.
            patience: seconds that a pusher waits for acknowledgements.
            hooks: devices that are web hooks, and always there.
            now: Unix seconds.
        """
        self._devices, self._receivers = devices, receivers
        self._pusher, self._waits = pusher, waits
        self._ttl, self._patience, self._hooks, self._now = ttl, patience, hooks, now

    async def push(self, send: Send, sender: str, grant: Grant) -> tuple[str, Mapping[str, str]]:
        """The mid, and what became of it by device.

        Raises:
            BadInput: no device can have that name.
            Forbidden: its token does not allow to push there.
            PushError: it was not stored, or nobody knows.
        """
        target = check_name(send.target, field="target")
        _check_right(grant, as_group(target) if send.is_group else target)
        names = await self._names(send, target)
        if not names:
            return "", {} if send.is_group else {target: "no"}
        until = trio.current_time() + self._patience
        delivery = await self._store(names, write_body(send.body(Sender("websocket", sender))))
        sent = dict(zip(names, delivery.ids, strict=True))
        kinds = await self._tell_receivers(sent)
        awaited = [Awaited(device_key(name), id) for name, id in sent.items()]
        acked = await self._waits.wait(awaited, max(0.0, until - trio.current_time()))
        still_open = {name: sent[name] for name, done in zip(names, acked, strict=True) if not done}
        words = await copy_words(self._waits, still_open, kinds)
        states = {
            name: words.get(name) or self._state(name, is_acked, online)
            for name, is_acked, online in zip(names, acked, delivery.online, strict=True)
        }
        return mid_of(delivery.ids[0]), states

    async def _names(self, send: Send, target: str) -> Sequence[str]:
        if not send.is_group:
            return list(await self._devices.find([target]))
        members = await self._devices.members(target, limit=MEMBERS + 1)
        if len(members) > MEMBERS:
            raise LimitReached(f"group {target!r} has more than {MEMBERS} devices")
        return members

    async def _store(self, names: Sequence[str], body: bytes) -> Delivery:
        keys = tuple(device_key(name) for name in names)
        push = Push(os.urandom(PUSH_ID), keys, body, self._now() + self._ttl)
        [outcome] = await self._pusher.push([push])
        if isinstance(outcome, PushError):
            raise outcome
        return outcome

    async def _tell_receivers(
        self, sent: Mapping[str, int]
    ) -> Mapping[str, Collection[ReceiverKind]]:
        """Of which kinds they are. While the database is away their copies wait for the next push."""
        try:
            found = await self._receivers.of(list(sent))
            if found:
                due = {name: sent[name] for name in found}
                await self._receivers.want(due, now=round(self._now() * 1000))
        except PushError as error:  # it is stored, and on its way to the sockets
            log.warning("receivers not told", devices=len(sent), error=str(error))
            return {}
        return {name: {each.kind for each in those} for name, those in found.items()}

    def _state(self, name: str, is_acked: bool, online: int) -> str:
        if is_acked:
            return "ok"
        return "wait" if online or name in self._hooks else "ready"


def _check_right(grant: Grant, name: str) -> None:
    if not grant.covers(Right.PUBLISH, name):
        raise Forbidden(f"token: it does not allow to publish {name[:80]!r}")

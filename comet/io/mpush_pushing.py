"""What a device of version 2.2 pushes over its WebSocket, and what it hears of it.

    MESSAGE to a device or group -> stored for each -> MESSAGE_REPLY {mid, status by device}

The answer comes when all have acknowledged, at once when there is nobody, else after a while with the states so far:
`ready` for who is away, `wait` for who was sent it, `ok`, `no`. Who pushes needs a token that allows it.

Source: spec/mpush.md 11.2, 11.5, 11.6.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import trio

from appmodel.core.interfaces import Pusher
from appmodel.core.message import PUSH_ID, Delivery, Push
from appmodel.core.mpush import Sender, check_name, device_key, mid_of, write_body
from appmodel.core.mpush_commands import Send
from appmodel.core.mpush_stores import Devices, Receivers
from appmodel.core.mpush_tokens import Grant, Right, as_group
from appmodel.core.mpush_waits import Awaited, MpushWaits
from appmodel.errors import Forbidden, LimitReached, PushError
from comet.protocol.mpush_v2 import State

MEMBERS: Final = 10_000  # of a group that is pushed to


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
        now: Callable[[], float],
    ) -> None:
        """
        Args:
            ttl: seconds that a message waits for its device.
            patience: seconds that a pusher waits for acknowledgements.
            now: Unix seconds.
        """
        self._devices, self._receivers = devices, receivers
        self._pusher, self._waits = pusher, waits
        self._ttl, self._patience, self._now = ttl, patience, now

    async def push(self, send: Send, sender: str, grant: Grant) -> tuple[str, Mapping[str, State]]:
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
        await self._receivers.want(sent, now=round(self._now() * 1000))
        awaited = [Awaited(device_key(name), id) for name, id in sent.items()]
        acked = await self._waits.wait(awaited, max(0.0, until - trio.current_time()))
        states = map(_state, acked, delivery.online)
        return mid_of(delivery.ids[0]), dict(zip(names, states, strict=True))

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


def _check_right(grant: Grant, name: str) -> None:
    if not grant.covers(Right.PUBLISH, name):
        raise Forbidden(f"token: it does not allow to publish {name[:80]!r}")


def _state(is_acked: bool, online: int) -> State:
    if is_acked:
        return "ok"
    return "wait" if online else "ready"

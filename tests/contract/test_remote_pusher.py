"""A comet at the other end of a connection keeps the contract, and so does the plainest one here."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from appmodel.core.clock import MessageClock
from appmodel.core.message import Delivery, Presence, Push, Save
from appmodel.core.names import Key
from appmodel.errors import PushError
from appmodel.io.calls import RemotePusher, pusher_handlers
from tests.appmodel.io.loopback import PATIENCE, over_rpc
from tests.contract.pusher import PusherContract, Received, Stage, StoreOfMoods


class PlainComet:
    """The contract and nothing else: one push after the other, subscribers are lists."""

    def __init__(self, store: StoreOfMoods) -> None:
        self._store = store
        self._clock = MessageClock()
        self._turn = trio.Lock()
        self._heard: dict[Key, list[list[Received]]] = {}

    async def subscribe(self, key: Key) -> list[Received]:
        heard: list[Received] = []
        self._heard.setdefault(key, []).append(heard)
        return heard

    async def push(
        self, pushes: Sequence[Push], *, passed_on: bool = False
    ) -> list[Delivery | PushError]:
        async with self._turn:
            return [await self._push(push) for push in pushes]

    async def presence(self, keys: Sequence[Key]) -> list[Presence]:
        return [Presence(len(self._heard.get(key, ())), 0) for key in keys]

    async def _push(self, push: Push) -> Delivery | PushError:
        proposed = self._clock.next_id(int(time.time() * 1e6))
        ids: tuple[int, ...] = (proposed,) * len(push.keys)
        if push.expires_at:
            save = Save(push.push_id, proposed, push.keys, push.body, push.expires_at)
            try:
                [saved] = await self._store.save([save])
            except PushError as error:
                return error
            ids = saved.ids
        for key, message_id in zip(push.keys, ids, strict=True):
            for heard in self._heard.get(key, ()):
                if not heard or heard[-1].id < message_id:
                    heard.append(Received(message_id, push.body))
        online = tuple(len(self._heard.get(key, ())) for key in push.keys)
        return Delivery(ids, online, bool(push.expires_at))


@asynccontextmanager
async def open_plain(store: StoreOfMoods) -> AsyncIterator[Stage]:
    comet = PlainComet(store)
    yield Stage(comet, comet.subscribe)


@asynccontextmanager
async def open_remote(store: StoreOfMoods) -> AsyncIterator[Stage]:
    comet = PlainComet(store)
    async with over_rpc(pusher_handlers(comet)) as client:
        yield Stage(RemotePusher(client, PATIENCE), comet.subscribe)


class TestPlainComet(PusherContract):
    open_comet = staticmethod(open_plain)


class TestRemotePusher(PusherContract):
    open_comet = staticmethod(open_remote)

"""What takes its time: the 30 s of item 1, and what callers hear whom nobody acknowledges (item 6, and 11.6)."""

from collections.abc import Awaitable
from typing import TypeVar

import pytest
import trio

from comet.config import CometConfig
from tests.comet.devices import AUTHENTICATED, TOKEN
from tests.mpush.installation import WAIT
from tests.mpush.version_2 import text
from tests.mpush.world import World
from web.config import MpushConfig

T = TypeVar("T")

STEP = 30.0  # seconds for the token, and again for the id
CLOSE = b"\x88\x00"  # without a code


async def at_last(seconds: float, waited_for: Awaitable[T]) -> T:
    """What is waited for, which does not come before so many seconds."""
    begun = trio.current_time()
    found = await waited_for
    assert trio.current_time() - begun >= seconds
    return found


class Waiting:
    """The suite: one test, for all of it can pass at the same time."""

    @pytest.mark.slow
    async def test_patience_ends(self, world: World) -> None:
        """1. 30 s for the token and again for the id, then an empty Close frame. 6. `online` when the wait is over.

        In version 2.2 `wait` for who was sent it and `ready` for who is away, over HTTP and over WebSocket.
        """
        assert CometConfig().mpush.auth_timeout == STEP
        assert (MpushConfig().wait, MpushConfig().reply_wait) == (3.0, 5.0)  # unless set otherwise

        async with trio.open_nursery() as nursery:
            nursery.start_soon(at_last, STEP, self._without_token(world))
            nursery.start_soon(self._without_id, world)
            nursery.start_soon(self._silent, world)
            nursery.start_soon(self._states, world)

    async def _without_token(self, world: World) -> None:
        phone = await world.phone()
        assert await phone.read(2) == CLOSE

    async def _without_id(self, world: World) -> None:
        phone = await world.phone()

        async def say_token() -> None:
            await phone.say(TOKEN)
            assert await phone.hears() == AUTHENTICATED
            assert await phone.read(2) == CLOSE

        await at_last(STEP, say_token())

    async def _silent(self, world: World) -> None:
        name = world.name()
        phone = await world.device(name)

        asked = world.asks("GET", f"/{name}?title=x")
        assert await at_last(WAIT, asked.word()) == "online" + world.place.end.decode()

        [message] = await phone.messages()
        await phone.acks(message["mid"])  # late: nobody hears it, and it comes no more
        await phone.says_pong()
        await (await world.device(name)).says_pong()

    async def _states(self, world: World) -> None:
        group = world.name()
        silent, away, sender = world.names(3)
        await world.absent(away, group)
        phone = await world.device_2(silent, group)
        speaker = await world.device_2(sender)
        states = {silent: "wait", away: "ready"}

        async def by_socket() -> None:
            await speaker.tell("MESSAGE", sendType="group", target=group, message=text("x"))
            assert (await speaker.packet("MESSAGE_REPLY"))["status"] == states

        asked = world.asks("GET", f"/{group}.group?text=x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at_last, WAIT, by_socket())
            assert await at_last(WAIT, asked.states()) == states
        assert (await phone.message())["target"] == group

"""What every comet keeps to, here or behind a connection. A subclass only says how to open one.

class TestMyComet(PusherContract):
    def open_comet(self, store): ...      # yields a Stage
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import trio

from appmodel.core.interfaces import Pusher
from appmodel.core.message import Delivery, Presence, Push, Save, Saved
from appmodel.core.names import Key
from appmodel.errors import NotStored, PushError
from message.config import MessageConfig
from message.stores.memory import MemoryStore

A, B, NOBODY = Key("", "a", "user"), Key("", "b", "user"), Key("", "nobody", "user")
PATIENCE = 40.0  # seconds


class Received(NamedTuple):
    """A message as a subscriber got it."""

    id: int
    body: bytes


@dataclass(frozen=True)
class Stage:
    """A comet that owns every key, and a way to listen to it."""

    pusher: Pusher
    subscribe: Callable[[Key], Awaitable[list[Received]]]
    """Joins a new subscriber of the key; what it is offered later is appended to the list."""


class StoreOfMoods(MemoryStore):
    """A store that can be away."""

    def __init__(self) -> None:
        super().__init__(MessageConfig())
        self.away = False

    async def save(self, saves: Sequence[Save]) -> list[Saved]:
        if self.away:
            raise NotStored("the store is away")
        return await super().save(saves)


def push(number: int, *keys: Key, body: bytes | None = None, ttl: float = 60) -> Push:
    """The push with the id `number`; it lives for `ttl` seconds, 0 = it is not stored."""
    push_id = number.to_bytes(16, "big")
    expires_at = time.time() + ttl if ttl else 0.0
    return Push(push_id, keys, b"%d" % number if body is None else body, expires_at)


def delivered(outcomes: list[Delivery | PushError]) -> list[Delivery]:
    """The outcomes, none of which is an error."""
    for outcome in outcomes:
        if isinstance(outcome, PushError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Delivery)]


class PusherContract:
    """The suite."""

    def open_comet(self, store: StoreOfMoods) -> AbstractAsyncContextManager[Stage]:
        """A comet that keeps its messages in `store`."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> StoreOfMoods:
        """An empty store."""
        return StoreOfMoods()

    @pytest.fixture
    async def stage(self, store: StoreOfMoods) -> Any:
        """A comet without subscribers."""
        async with self.open_comet(store) as stage:
            yield stage

    async def test_a_push_reaches_its_subscribers_and_the_store(
        self, stage: Stage, store: StoreOfMoods
    ) -> None:
        """Everybody hears the same id: each subscriber, the store and the caller."""
        phone, browser = await stage.subscribe(A), await stage.subscribe(A)

        [answer] = delivered(await stage.pusher.push([push(1, A, body=b'{"a":1}')]))

        [message_id] = answer.ids
        assert answer == Delivery((message_id,), (2,), stored=True)
        assert phone == browser == [Received(message_id, b'{"a":1}')]
        [kept] = (await store.fetch(A, 0, limit=10)).messages
        assert (kept.id, kept.body) == (message_id, b'{"a":1}')

    async def test_a_push_without_ttl_is_for_whoever_is_there(
        self, stage: Stage, store: StoreOfMoods
    ) -> None:
        """It is delivered, not stored, and says so."""
        heard = await stage.subscribe(A)

        [answer] = delivered(await stage.pusher.push([push(1, A, NOBODY, ttl=0)]))

        assert (answer.online, answer.stored) == ((1, 0), False)
        assert [message.body for message in heard] == [b"1"]
        assert await store.marks([A, NOBODY]) == [0, 0]

    async def test_many_keys_are_answered_in_their_order(self, stage: Stage) -> None:
        """One push, an id and a count for each of its keys."""
        of_a, of_b = await stage.subscribe(A), await stage.subscribe(B)
        await stage.subscribe(B)

        [answer] = delivered(await stage.pusher.push([push(1, B, NOBODY, A)]))

        assert answer.online == (2, 0, 1)
        assert of_b == [Received(answer.ids[0], b"1")]
        assert of_a == [Received(answer.ids[2], b"1")]

    async def test_pushes_of_one_call_stay_in_their_order(self, stage: Stage) -> None:
        """Per key, ids increase in the order of delivery, stored or not."""
        heard = await stage.subscribe(A)

        answers = delivered(
            await stage.pusher.push([push(n, A, ttl=60 * (n % 3)) for n in range(1, 30)])
        )

        assert heard == [
            Received(answer.ids[0], b"%d" % n) for n, answer in enumerate(answers, start=1)
        ]
        ids = [message.id for message in heard]
        assert ids == sorted(set(ids))

    async def test_pushes_from_everywhere_are_heard_once_and_in_order(self, stage: Stage) -> None:
        """Callers that race do not disturb each other's messages."""
        heard = await stage.subscribe(A)
        answers: dict[int, int] = {}

        async def push_some(first: int) -> None:
            for number in range(first, first + 10):
                [answer] = delivered(await stage.pusher.push([push(number, A, B)]))
                answers[number] = answer.ids[0]

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for first in range(0, 100, 10):
                    nursery.start_soon(push_some, first)

        assert sorted(heard) == heard
        assert {int(message.body): message.id for message in heard} == answers
        assert len(heard) == len(answers) == 100

    async def test_a_push_id_seen_before_is_the_same_message(
        self, stage: Stage, store: StoreOfMoods
    ) -> None:
        """A retry answers with the first id; nobody hears it again."""
        heard = await stage.subscribe(A)
        [first] = delivered(await stage.pusher.push([push(1, A)]))
        await stage.pusher.push([push(2, A)])

        [again] = delivered(await stage.pusher.push([push(1, A)]))

        assert again.ids == first.ids
        assert [message.body for message in heard] == [b"1", b"2"]
        assert len((await store.fetch(A, 0, limit=10)).messages) == 2

    async def test_the_same_body_twice_is_two_messages(self, stage: Stage) -> None:
        """Only the push id makes a push the same."""
        heard = await stage.subscribe(A)

        await stage.pusher.push([push(1, A, body=b"1"), push(2, A, body=b"1")])

        assert [message.body for message in heard] == [b"1", b"1"]
        assert heard[0].id < heard[1].id

    async def test_what_cannot_be_stored_is_refused_and_heard_by_nobody(
        self, stage: Stage, store: StoreOfMoods
    ) -> None:
        """Store, then send: a push with a ttl is nowhere, one without goes on."""
        heard = await stage.subscribe(A)
        store.away = True

        refused, other = await stage.pusher.push([push(1, A), push(2, A, ttl=0)])

        assert isinstance(refused, NotStored)
        assert isinstance(other, Delivery)
        assert [message.body for message in heard] == [b"2"]

    async def test_after_the_store_is_back_a_retry_goes_through(
        self, stage: Stage, store: StoreOfMoods
    ) -> None:
        """A refusal leaves nothing behind that would swallow the next try."""
        heard = await stage.subscribe(A)
        store.away = True
        await stage.pusher.push([push(1, A)])
        store.away = False

        [answer] = delivered(await stage.pusher.push([push(1, A)]))

        assert answer.stored
        assert heard == [Received(answer.ids[0], b"1")]

    async def test_presence_is_who_is_here(self, stage: Stage) -> None:
        """In the order of the keys; a push leaves nothing behind for a key without subscribers."""
        await stage.subscribe(A)
        await stage.subscribe(A)
        await stage.pusher.push([push(1, NOBODY)])

        found = await stage.pusher.presence([NOBODY, A, B, A])

        assert found == [Presence(0, 0), Presence(2, 0), Presence(0, 0), Presence(2, 0)]

    async def test_nothing_is_nothing(self, stage: Stage) -> None:
        """No pushes, no outcomes; no keys, no presence."""
        assert await stage.pusher.push([]) == []
        assert await stage.pusher.presence([]) == []

    async def test_ten_thousand_keys_are_one_push(self, stage: Stage) -> None:
        """A push is one call however many keys it has; bodies pass as they are."""
        keys = [Key("", f"u{number}", "user") for number in range(10_000)]
        heard = await stage.subscribe(keys[-1])
        body = '{"text":"grüß Gott \\u0000"}'.encode()

        [answer] = delivered(await stage.pusher.push([push(1, *keys, body=body)]))

        assert len(answer.ids) == len(answer.online) == 10_000
        assert sum(answer.online) == 1
        assert heard == [Received(answer.ids[-1], body)]

"""Making a push of light-push: what is kept, what is sent, what is answered."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_push import PushLimits
from appmodel.core.lightpush_records import Namespace, StoredPush
from appmodel.core.lightpush_stores import PushBounds
from appmodel.core.message import Delivery, Push
from appmodel.core.names import Key
from appmodel.errors import NoNode, OutcomeUnknown, PushError, Unavailable
from appmodel.io.database import Database
from appmodel.io.lightpush_pushes import SqlPushBook
from appmodel.io.lightpush_pushing import LightPushing

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

DEMO = Namespace("/demo")


@dataclass
class Comets:
    """Take every push, or say what is wrong."""

    trouble: PushError | None = None
    pushes: list[Push] = field(default_factory=list)
    here: tuple[str, str, str] | None = None  # namespace, room, client

    async def is_present(self, *name: str) -> bool:
        if self.here == ("", "", ""):
            raise Unavailable("away")
        return name == self.here

    async def push(self, pushes: Sequence[Push]) -> list[Delivery | PushError]:
        self.pushes += pushes
        found = self.trouble or Delivery((17,), (3,), False)
        return [found for _ in pushes]


Make = Callable[[], tuple[LightPushing, Comets, SqlPushBook]]


@pytest.fixture
def make(database: Database) -> Make:
    """Pushing over a real book."""

    def build() -> tuple[LightPushing, Comets, SqlPushBook]:
        comets, book = Comets(), SqlPushBook(database, PushBounds())
        pushing = LightPushing(
            comets, book, comets, limits=PushLimits(), offline_after=5000, now=lambda: now()
        )
        return pushing, comets, book

    return build


def now() -> int:
    """Unix ms."""
    return round(time.time() * 1000)


async def kept(book: SqlPushBook) -> list[StoredPush]:
    """All of the namespace."""
    return list(await book.history("/demo", offset=0, limit=100, now=now()))


async def test_a_push_goes_to_the_key_of_its_room(make: Make) -> None:
    """Under its id, without the client that is to be spared, unstored, and counted."""
    pushing, comets, book = make()

    made = await pushing.push(
        {"room": "r1", "pushData": {"a": 1, "apsData": {}}, "except": "/demo#u#web-d"}, DEMO
    )

    (push,) = comets.pushes
    assert push.keys == (Key("/demo", "r1", "qun"),)
    assert (push.without, push.tally, push.expires_at) == ("/demo#u#web-d", made.id, 0)
    name, event = msgspec.json.decode(push.body)
    assert (name, event["id"], event["pushData"]) == ("push", made.id, {"a": 1})
    assert made.expected == 3
    (stored,) = await kept(book)
    assert stored.id == made.id


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (("/demo", "r1", "/demo#u#web-d"), 2),
        (("/demo", "r2", "/demo#u#web-d"), 3),
        (None, 3),
        (("", "", ""), 3),  # nobody can say
    ],
)
async def test_who_is_spared_is_not_expected(
    make: Make, here: tuple[str, str, str] | None, expected: int
) -> None:
    """If it would have been there."""
    pushing, comets, _ = make()
    comets.here = here

    made = await pushing.push({"room": "r1", "pushData": [], "except": "/demo#u#web-d"}, DEMO)

    assert made.expected == expected


async def test_a_users_room_is_his_inbox(make: Make) -> None:
    """Every device of his has it."""
    pushing, comets, _ = make()

    await pushing.push({"room": "user_u1", "pushData": []}, DEMO)

    assert comets.pushes[0].keys == (Key("/demo", "u1", "user"),)


async def test_what_is_lost_is_kept_and_not_sent(make: Make) -> None:
    """And nobody is expected to acknowledge it; absent clients are looked after all the same."""
    pushing, comets, book = make()

    made = await pushing.push(
        {"room": "r1", "pushData": {}, "extra": "lost", "leaveMessage": True}, DEMO
    )

    assert (made.expected, comets.pushes) == (0, [])
    assert len(await kept(book)) == 1
    assert len(await book.claim_jobs(now=now() + 6000, lease=1000, limit=10)) == 1


async def test_absent_clients_are_looked_after_a_while_later_and_only_if_that_is_asked(
    make: Make,
) -> None:
    """Five seconds."""
    pushing, _, book = make()
    await pushing.push({"room": "r1", "pushData": {}}, DEMO)
    made = await pushing.push({"room": "r1", "pushData": {}, "leaveMessage": True}, DEMO)

    assert await book.claim_jobs(now=now(), lease=1000, limit=10) == []
    (job,) = await book.claim_jobs(now=now() + 5000, lease=1000, limit=10)
    assert job.push.id == made.id


@pytest.mark.parametrize(
    ("fields", "namespace", "text"),
    [
        ({"pushData": {}}, DEMO, "room can not be empty"),
        ({"room": "r1", "pushData": {}}, None, "this namespace lose"),
        (
            {"room": "r1", "pushData": {}},
            Namespace("/demo", is_offline=True),
            "this namespace offline",
        ),
    ],
)
async def test_what_is_refused_is_nowhere(
    make: Make, fields: dict[str, Any], namespace: Namespace | None, text: str
) -> None:
    """With the original's text."""
    pushing, comets, book = make()

    with pytest.raises(Refusal, match=f"^{text}$"):
        await pushing.push(fields, namespace)

    assert (await kept(book), comets.pushes) == ([], [])


@pytest.mark.parametrize(
    ("trouble", "unsent"),
    [(NoNode("no comet"), 0), (Unavailable("away"), 1), (OutcomeUnknown("late"), 1)],
)
async def test_what_is_kept_has_an_id_whoever_could_be_reached(
    make: Make, trouble: PushError, unsent: int
) -> None:
    """Else its caller would push it again. Nobody is expected then; without comets there is nobody."""
    pushing, comets, book = make()
    comets.trouble = trouble

    made = await pushing.push({"room": "r1", "pushData": {}}, DEMO)

    (stored,) = await kept(book)
    assert (made.id, made.expected) == (stored.id, 0)
    assert pushing.unsent == unsent

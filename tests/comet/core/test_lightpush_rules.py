"""Pushes and acknowledgements of clients, and what holds for all events."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Ack, ClientRecord, Namespace
from appmodel.errors import Unavailable
from comet.core.lightpush_ports import Limits
from tests.comet.guests import DEMO, Lobby

ME = "/demo#d1#web-d1"
PUSH = {"room": "r1", "pushData": {"a": 1}}


async def test_a_push_is_answered_with_its_id_and_who_should_acknowledge() -> None:
    """The server says whose it is, and whom it spares."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")

    answer = await guest.says("push", PUSH)

    assert answer == {"status": 200, "msg": "ok", "id": 1, "expectAckCount": 3}
    (draft,) = lobby.drafts
    assert (draft.namespace, draft.sender, draft.without) == ("/demo", ME, ME)


async def test_a_client_cannot_speak_for_others_or_elsewhere() -> None:
    """`namespace` and `from` are what the server knows (W3); whom it spares is its own business."""
    lobby = Lobby(records={"/demo": DEMO, "/other": Namespace("/other")})
    guest = await lobby.comes("uuid=d1")

    await guest.says("push", {**PUSH, "namespace": "/other", "from": "boss", "except": "/demo#x"})

    (draft,) = lobby.drafts
    assert (draft.namespace, draft.sender, draft.without) == ("/demo", ME, "/demo#x")


async def test_one_push_in_a_while() -> None:
    """The first is free, a refused one counts, one that came too early does not."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")
    early = {"status": 500, "msg": "limited access in 1s"}

    assert (await guest.says("push", {}))["status"] == 400
    assert await guest.says("push", PUSH) == early
    lobby.time += 0.9
    assert await guest.says("push", PUSH) == early
    lobby.time += 0.1
    assert (await guest.says("push", PUSH))["status"] == 200
    assert len(lobby.drafts) == 1


async def test_the_rate_is_of_one_client_and_told_as_it_is_set() -> None:
    """Another one may push meanwhile."""
    lobby = Lobby(limits=Limits(rooms=5, push_interval=2.5, broadcasts=True))
    first, second = await lobby.comes("uuid=d1"), await lobby.comes("uuid=d2")

    await first.says("push", PUSH)

    assert (await second.says("push", PUSH))["status"] == 200
    assert (await first.says("push", PUSH))["msg"] == "limited access in 2.5s"


@pytest.mark.parametrize(
    ("push", "text"),
    [
        (None, "room can not be empty"),
        ([], "room can not be empty"),
        ({}, "room can not be empty"),
        ({"room": 'a"b', "pushData": {}}, "room invalid"),
        ({"room": "r1"}, "pushData can not be empty and must be an Object"),
        ({"room": "r1", "pushData": {}, "except": 7}, "except must be string"),
        ({"room": "r1", "pushData": {}, "expire": 11}, "expire invalid"),
    ],
)
async def test_what_cannot_be_pushed_is_told_as_json_in_a_text(push: Any, text: str) -> None:
    """As the original tells it."""
    guest = await Lobby().comes("uuid=d1")

    answer = await guest.says("push", push)

    assert answer == {"status": 400, "msg": f'{{"code": 9999,"msg": "{text}"}}'}


async def test_a_namespace_that_is_offline_takes_no_push() -> None:
    """Nor does one that is gone."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")
    lobby.records["/demo"] = Namespace("/demo", is_offline=True)

    assert "this namespace offline" in (await guest.says("push", PUSH))["msg"]

    lobby.time += 1
    del lobby.records["/demo"]
    assert "this namespace lose" in (await guest.says("push", PUSH))["msg"]


async def test_a_book_that_is_away_is_an_answer() -> None:
    """The client may try again."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")
    lobby.trouble = Unavailable("the store is away")

    assert await guest.says("push", PUSH) == {"status": 500, "msg": "the store is away"}


async def test_an_acknowledgement_is_noted_for_the_own_namespace_and_not_answered() -> None:
    """As a number, or as the text that the original stored."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1&platform=android")

    for number in (17, "17", 2**53 - 1):
        assert await guest.says("ackPush", {"id": number, "namespace": "/other"}) is None

    client = "/demo#d1#android-d1"
    assert lobby.acks == [
        Ack("/demo", number, client, Platform.ANDROID) for number in (17, 17, 2**53 - 1)
    ]


@pytest.mark.parametrize(
    "argument",
    [
        *(None, 17, [], {}),
        *({"id": value} for value in (None, 0, -1, True, 1.5, "x", "1" * 5000, "²", 2**53, [1])),
    ],
)
async def test_what_is_no_id_is_passed_over(argument: Any) -> None:
    """Nothing is written of it (W19)."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")

    await guest.says("ackPush", argument)

    assert lobby.acks == []


async def test_other_events_mean_nothing() -> None:
    """They are not answered either."""
    guest = await Lobby().comes("uuid=d1")

    for name in ("report-push", "message", "__proto__", ""):
        assert await guest.says(name, {}) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        *("id", "room", "pushData", "expire", "except", "from", "extra", "add", "remove"),
        *("radius", "count", "clientId", "mobile", "device_token", "leaveMessage"),
        *("longitude", "latitude"),
    ]
)


@settings(max_examples=50)
@given(
    name=st.sampled_from(
        ["joinRoom", "leaveRoom", "ackPush", "push", "info", "apns", "discover", "other"]
    ),
    arguments=st.lists(VALUES | st.dictionaries(FIELDS, VALUES), max_size=2),
)
async def test_nothing_that_a_client_says_is_too_strange(name: str, arguments: list[Any]) -> None:
    """It is answered or passed over; never more than one answer."""
    client = "/demo#d1#ios-d1"
    record = ClientRecord("/demo", client, "d1", Platform.IOS, "d1", 1000, 2000)
    lobby = Lobby(profiles={client: record}, neighbours=[])
    guest = await lobby.comes("uuid=d1&platform=ios")

    await guest.says(name, *arguments)

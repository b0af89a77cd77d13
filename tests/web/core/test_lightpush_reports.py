"""What the light-push REST tells of pushes, and of who is online."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush_records import (
    AckDetails,
    Draft,
    Lists,
    Overview,
    RoomOverview,
    StoredPush,
    Totals,
    Unit,
)
from web.core.lightpush_reports import (
    current_counts,
    delivery_rate,
    namespace_report,
    past_counts,
    push_id,
    push_report,
    room_report,
)

DRAFT = Draft("/demo", "r1", '{"a":1}', 1.0, 1793233999000, 1793237599000)
PUSH = StoredPush(17, DRAFT, acks=3, ios_acks=1, android_acks=2, online_clients=4)
HASH = {
    "namespace": "/demo",
    "room": "r1",
    "pushData": '{"a":1}',
    "expire": "1",
    "id": "17",
    "sendDate": "1793233999000",
    "ackCount": "3",
    "ackIOSCount": "1",
    "ackAndroidCount": "2",
    "onlineClientCount": "4",
}


def test_a_report_is_the_hash_and_who_acknowledged() -> None:
    """Texts; lists that nobody asked for are empty, and too long ones are "$$"."""
    plain = push_report(PUSH, None)
    some = push_report(PUSH, AckDetails(None, ("a",), ()))

    assert plain == HASH | {
        "ackIOSDetail": (),
        "ackAndroidDetail": (),
        "ackWebDetail": (),
        "deliveryRate": 0.75,
    }
    assert (some["ackIOSDetail"], some["ackAndroidDetail"]) == (["$$"], ("a",))


def test_a_hash_has_what_is_set() -> None:
    """`leaveMessage` as its text; hours may be halves."""
    draft = replace(
        DRAFT, expire=0.5, without="c", apns_name="n", leave_message=True, extra="lost", sender="s"
    )
    push = replace(PUSH, draft=draft, apns_count=0, apns_success_count=0, result="apnsEnv:x")

    report = push_report(push, None)

    assert {name: report[name] for name in report if name not in HASH or name == "expire"} == {
        "expire": "0.5",
        "except": "c",
        "apnsName": "n",
        "leaveMessage": "true",
        "extra": "lost",
        "from": "s",
        "apnsCount": "0",
        "apnsSuccessCount": "0",
        "result": "apnsEnv:x",
        "ackIOSDetail": (),
        "ackAndroidDetail": (),
        "ackWebDetail": (),
        "deliveryRate": 0.75,
    }


@pytest.mark.parametrize(
    ("acks", "frames", "rate"), [(0, 0, None), (5, 0, None), (0, 3, 0.0), (1, 3, 0.3333), (5, 4, 1)]
)
def test_the_delivery_rate(acks: int, frames: int, rate: float | None) -> None:
    """Never above 1: who gets it from its inbox acknowledges it too."""
    assert delivery_rate(replace(PUSH, acks=acks, online_clients=frames)) == rate


@given(st.text(max_size=25))
def test_an_id_is_a_number_that_a_push_can_have(text: str) -> None:
    """Whatever is in the path."""
    found = push_id(text)

    assert found is None or (0 <= found < 2**63 and text.isascii())


def test_counts_of_now_and_of_the_past() -> None:
    """The current bucket is last; of now a text, and the number 0 where there is none."""
    now = 1793233999000
    counts = {Unit.MINUTE: [1, 2], Unit.HOUR: [5, 0], Unit.DAY: [9]}

    assert current_counts(counts) == {
        "currMinuteMessageCount": "2",
        "currHourMessageCount": 0,
        "currDateMessageCount": "9",
    }
    past = past_counts(Unit.MINUTE, [1, 2], now)
    assert [each["count"] for each in past] == [1, 2]
    assert past[1]["time"] <= now < past[1]["time"] + 60_000
    assert past[1]["time"] - past[0]["time"] == 60_000
    assert past[1]["time"] % 60_000 == 0


def test_who_is_online() -> None:
    """A list is there if somebody wants it and it is not too long."""
    overview, lists = Overview(rooms=1, users=2, clients=3), Lists(("r1",), None, ("u1", "u2"))
    plain = namespace_report(overview, 4)

    assert plain == {"roomCount": 1, "userCount": 2, "clientCount": 3, "totalClientCount": 4}
    assert namespace_report(overview, 4, lists) == plain | {"room": ("r1",), "user": ("u1", "u2")}
    room = room_report("r1", RoomOverview(2, 3, 1, 0), Totals(5, 2, 1))
    assert room == {
        "name": "r1",
        "userCount": 2,
        "clientCount": 3,
        "totalClientCount": 5,
        "iosClientCount": 1,
        "totalIOSClientCount": 2,
        "androidClientCount": 0,
        "totalAndroidClientCount": 1,
    }
    assert room_report("r1", RoomOverview(), Totals(), Lists((), ("c",), None))["client"] == ("c",)

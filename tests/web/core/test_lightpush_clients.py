"""Rooms and clients in calls of the light-push REST."""

from typing import Any

import pytest

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_records import MuteEdit
from appmodel.core.realms import MAX_SOURCES, Direction, Transfer
from appmodel.errors import PushError
from web.core.lightpush_clients import client_of, leave_message, mute_edit, room_of, transfer_of

EMPTY = "targetRoom and sourceRooms and type and namespace can not be empty"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, EMPTY),
        ({"sourceRooms": ["a"], "type": "join"}, EMPTY),
        ({"targetRoom": "r", "type": "join"}, EMPTY),
        ({"targetRoom": "r", "sourceRooms": [], "type": "join"}, EMPTY),
        ({"targetRoom": "r", "sourceRooms": "a", "type": "join"}, EMPTY),
        ({"targetRoom": "r", "sourceRooms": ["a"]}, EMPTY),
        ({"targetRoom": "r r", "sourceRooms": ["a"], "type": "join"}, "targetRoom invalid"),
        ({"targetRoom": ["r"], "sourceRooms": ["a"], "type": "join"}, "targetRoom invalid"),
        ({"targetRoom": "r", "sourceRooms": ["a", ""], "type": "join"}, "sourceRoom invalid"),
        ({"targetRoom": "r", "sourceRooms": ["a", 1], "type": "join"}, "sourceRoom invalid"),
    ],
)
def test_transfers_that_are_none(fields: dict[str, Any], text: str) -> None:
    """With the original's texts."""
    with pytest.raises(Refusal) as refused:
        transfer_of("/demo", fields)

    assert str(refused.value) == text


def test_any_type_but_join_leaves() -> None:
    """As in the original; a source that is named twice counts once, and the target may be one."""
    fields = {"targetRoom": "r1", "sourceRooms": ["r2", "r1", "r2"]}

    assert transfer_of("/demo", {**fields, "type": "join"}) == Transfer(
        "/demo", "r1", ("r2", "r1"), Direction.JOIN
    )
    for other in ("leave", "JOIN", 1):
        assert transfer_of("/demo", {**fields, "type": other}).direction is Direction.LEAVE
    many = [f"r{n}" for n in range(MAX_SOURCES + 1)]
    with pytest.raises(PushError, match="sourceRooms"):
        transfer_of("/demo", {**fields, "sourceRooms": many, "type": "join"})


def test_a_client_is_named_by_its_id() -> None:
    """`param id can not find ` has the original's blank."""
    assert client_of("/demo#u#web-d") == "/demo#u#web-d"
    for value in (None, "", 0):
        with pytest.raises(Refusal) as refused:
            client_of(value)
        assert str(refused.value) == "param id can not find "
    for other in (1, ["/demo#u#web-d"], "x" * 300, "a\0"):
        with pytest.raises(PushError, match="id"):
            client_of(other)


def test_rooms_and_what_their_clients_get() -> None:
    """A room is named; lists hold names of rooms, those of users too."""
    user = "user_" + "u" * 100

    assert room_of({"room": user}) == user
    assert mute_edit({"add": ["r1", user], "remove": None}) == MuteEdit(["r1", user], [])
    assert leave_message({"leaveMessage": False}) is False
    assert leave_message({"leaveMessage": "true"}) is True
    with pytest.raises(Refusal, match="can not find room"):
        room_of({})
    with pytest.raises(Refusal, match="room invalid"):
        room_of({"room": "a b"})
    for wrong in ("r1", ["a b"], [1], ["r"] * 1001):
        with pytest.raises(PushError, match="add"):
            mute_edit({"add": wrong})
    for value in (None, 0, "", "no", [True]):
        with pytest.raises(PushError, match="leaveMessage"):
            leave_message({"leaveMessage": value})

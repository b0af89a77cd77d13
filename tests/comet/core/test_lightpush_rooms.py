"""Rooms of light-push: joining, leaving, and what others hear of it."""

from typing import Any

import pytest

from appmodel.core.names import Key
from appmodel.core.realms import Direction, Transfer
from comet.core.lightpush_ports import Limits
from comet.core.rules import Answer, Broadcast, Join, Leave
from tests.comet.guests import Guest, Lobby

OK = {"status": 200, "msg": "ok"}
INVALID = {"status": 500, "msg": "joinOrleaveRoom error: Error: room invalid"}
FORBIDDEN = {"status": 403, "msg": "Forbidden"}


def rooms_of(guest: Guest) -> list[str]:
    """Without its own key and its user's."""
    return [key.id for key in guest.keys if key.suffix == "qun"]


@pytest.mark.parametrize(
    ("argument", "answer", "joined"),
    [
        (["r1", "r2"], OK, ["r1", "r2"]),
        ("r1", OK, ["r1"]),
        (17, OK, ["17"]),
        ([1.5], OK, ["1.5"]),
        ([], OK, []),
        (["r1", "r1"], OK, ["r1"]),
        (["r1", "bad room", "r2"], INVALID, ["r1", "r2"]),
        (["a" * 101], INVALID, []),
        ([""], INVALID, []),
        (None, INVALID, []),
        ([None, {}, True], INVALID, []),
        ({"room": "r1"}, INVALID, []),
        ([["r1"]], INVALID, []),
    ],
)
async def test_each_room_is_joined_by_itself(
    argument: Any, answer: dict[str, Any], joined: list[str]
) -> None:
    """One bad name makes the answer an error; the good ones are joined."""
    guest = await Lobby().comes("uuid=d1")

    assert await guest.says("joinRoom", argument) == answer

    assert rooms_of(guest) == joined


@pytest.mark.parametrize("event", ["joinRoom", "leaveRoom"])
async def test_without_a_room_there_is_no_answer(event: str) -> None:
    """As in the original."""
    guest = await Lobby().comes("uuid=d1")

    assert await guest.says(event) is None


async def test_the_answer_comes_behind_the_joins() -> None:
    """Who reads it misses nothing that is pushed to the room."""
    guest = await Lobby().comes("uuid=d1")
    before = len(guest.done)

    await guest.says("joinRoom", ["r1", "r2"])

    kinds = [type(effect) for effect in guest.done[before:]]
    assert kinds == [Join, Join, Answer]


async def test_a_room_is_joined_and_written_once() -> None:
    """The second time it is there already."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")

    await guest.says("joinRoom", ["r1"])
    assert await guest.says("joinRoom", ["r1"]) == OK

    assert lobby.roll.count(("joined", "/demo#d1#web-d1", "r1")) == 1


@pytest.mark.parametrize("room", ["user_victim", "USER_victim", "user_", "User_d1"])
async def test_rooms_of_other_users_are_denied(room: str) -> None:
    """Nobody reads what is pushed to somebody else (W1)."""
    guest = await Lobby().comes("uuid=d1")

    assert await guest.says("joinRoom", ["r1", room]) == FORBIDDEN

    assert rooms_of(guest) == ["r1"]
    assert len(guest.keys) == 3


async def test_the_own_user_room_can_be_left_and_joined() -> None:
    """It is a room like any other to its user."""
    guest = await Lobby().comes("uuid=d1&userid=u1")
    mine = Key("/demo", "u1", "user")

    assert await guest.says("leaveRoom", "user_u1") == OK
    assert mine not in guest.keys

    assert await guest.says("joinRoom", "user_u1") == OK
    assert mine in guest.keys


async def test_the_last_room_can_be_left() -> None:
    """Then it is in none (W16)."""
    guest = await Lobby().comes("uuid=d1")

    assert await guest.says("leaveRoom", ["user_d1"]) == OK

    assert guest.keys == [Key("/demo", "d1#web-d1", "")]


async def test_leaving_where_one_is_not_is_fine_and_unheard() -> None:
    """The original tells everybody in the room that it has left."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1&activityBroadcast=true")
    before = len(guest.done), len(lobby.roll)

    assert await guest.says("leaveRoom", ["r1", "bad room"]) == INVALID

    assert (len(guest.done) - 1, len(lobby.roll)) == before


async def test_a_client_has_a_limit_of_rooms() -> None:
    """What is within it is joined."""
    lobby = Lobby(limits=Limits(rooms=3, push_interval=1, broadcasts=True))
    guest = await lobby.comes("uuid=d1")

    answer = await guest.says("joinRoom", ["r1", "r2", "r3", "r4"])

    assert answer == {"status": 500, "msg": "joinOrleaveRoom error: Error: too many rooms"}
    assert rooms_of(guest) == ["r1", "r2"]


async def test_others_hear_who_comes_and_leaves() -> None:
    """One event for each room, the user's too: a user's devices see one another."""
    guest = await Lobby().comes("uuid=d1&userid=u1&activityBroadcast=true")
    await guest.says("joinRoom", "r1")
    await guest.says("leaveRoom", "r1")

    person = {"sid": "/demo#u1#web-d1", "uuid": "d1", "userid": "u1"}
    r1, mine = Key("/demo", "r1", "qun"), Key("/demo", "u1", "user")
    assert guest.announced == [
        ("peopleJoin", mine, {**person, "room": "user_u1"}),
        ("peopleJoin", r1, {**person, "room": "r1"}),
        ("peopleLeave", r1, {**person, "room": "r1", "clientOffline": False}),
    ]
    assert list(guest.leaves()) == [
        Broadcast(mine, "peopleLeave", ({**person, "room": "user_u1", "clientOffline": True},))
    ]


async def test_silent_clients_are_not_heard_of() -> None:
    """Nor is anybody where the operator does not want it."""
    quiet = Limits(rooms=3, push_interval=1, broadcasts=False)
    for lobby, query in [
        (Lobby(), "uuid=d1"),
        (Lobby(), "uuid=d1&activityBroadcast=false"),
        (Lobby(limits=quiet), "uuid=d1&activityBroadcast=true"),
    ]:
        guest = await lobby.comes(query)
        await guest.says("joinRoom", "r1")
        await guest.says("leaveRoom", "r1")

        assert guest.announced == []
        assert list(guest.leaves()) == []


@pytest.mark.parametrize("direction", list(Direction))
async def test_who_is_moved_is_told(direction: Direction) -> None:
    """And so are others."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1&activityBroadcast=true")
    await guest.says("joinRoom", "source")
    if direction is Direction.LEAVE:
        await guest.says("joinRoom", "target")
    order = Transfer("/demo", "target", ("source",), direction)

    guest.do(lobby.rules.transferred(guest, order))

    expected = {"namespace": "/demo", "targetRoom": "target", "sourceRooms": ["source"]}
    assert guest.heard(f"{direction}Room") == [{**expected, "type": direction.value}]
    assert ("target" in rooms_of(guest)) is (direction is Direction.JOIN)
    if direction is Direction.JOIN:
        assert lobby.roll[-1] == ("joined", "/demo#d1#web-d1", "target")
    else:
        assert lobby.roll[-1] == ("left", "/demo#d1#web-d1", "target")
    assert guest.announced[-1][0] == f"people{direction.capitalize()}"


async def test_who_is_moved_out_of_its_last_room_is_out() -> None:
    """The original tells the client so, and leaves it in (W16)."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")
    order = Transfer("/demo", "user_d1", ("user_d1",), Direction.LEAVE)

    guest.do(lobby.rules.transferred(guest, order))

    assert Leave(Key("/demo", "d1", "user")) in guest.done
    guest.leaves()
    assert lobby.roll[-1] == ("went", "/demo#d1#web-d1", 0, "network")

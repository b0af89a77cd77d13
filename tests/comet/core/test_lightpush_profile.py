"""What a client of light-push says of itself, and asks."""

from typing import Any

import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import ClientRecord, Neighbour
from appmodel.errors import Unavailable
from tests.comet.guests import Lobby

OK = {"status": 200, "msg": "ok"}
FORBIDDEN = {"status": 403, "msg": "Forbidden"}
ME = "/demo#u1#ios-d1"


def lobby_with_me(**fields: Any) -> Lobby:
    """A place where the client is known."""
    record = ClientRecord("/demo", ME, "u1", Platform.IOS, "d1", 1000, 2000, **fields)
    return Lobby(profiles={ME: record})


async def test_info_reads_the_documented_fields_as_texts() -> None:
    """Those that are set (D2)."""
    lobby = lobby_with_me(
        last_disconnect_time=1500,
        update_date=1700,
        device_token="T",
        mobile="1",
        system="iOS",
        leave_message=False,
        longitude=1.0,
        latitude=2.0,
        muted=("r1", "r2"),
    )
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")

    assert await guest.says("info", {}) == {
        **OK,
        "userid": "u1",
        "last_connect_time": "2000",
        "last_disconnect_time": "1500",
        "update_date": "1700",
        "mobile": "1",
        "system": "iOS",
        "device_token": "T",
        "no_send_apns": "r1,r2",
        "leaveMessage": "false",
    }


async def test_info_without_an_object_is_a_read() -> None:
    """Whatever a client sends instead."""
    guest = await lobby_with_me().comes("uuid=d1&userid=u1&platform=ios")

    nothings: list[list[Any]] = [[], [None], [[]], ["x"]]
    for arguments in nothings:
        assert (await guest.says("info", *arguments))["userid"] == "u1"


async def test_info_writes_what_it_names() -> None:
    """And nothing of what only the server knows."""
    lobby = lobby_with_me(mobile="1")
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")

    answer = await guest.says(
        "info",
        {
            "device_token": "",
            "leaveMessage": "false",
            "longitude": 0,
            "latitude": "1.5",
            "userId": "eve",
            "nspName": "/other",
            "token": "x",
        },
    )

    record = lobby.profiles[ME]
    assert answer == OK
    assert (record.device_token, record.mobile, record.leave_message) == ("", "1", False)
    assert (record.longitude, record.latitude) == (0.0, 1.5)
    assert (record.userid, record.namespace) == ("u1", "/demo")
    assert record.update_date == 1_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"leaveMessage": "maybe"},
        {"leaveMessage": 1},
        {"device_token": ["T"]},
        {"mobile": "1" * 256},
        {"system": "a\0b"},
        {"longitude": 1},
        {"longitude": 181, "latitude": 0},
        {"longitude": "x", "latitude": 0},
        {"longitude": True, "latitude": 0},
    ],
)
async def test_a_value_that_cannot_be_is_refused_and_nothing_is_written(
    fields: dict[str, Any],
) -> None:
    """The answer names the field."""
    lobby = lobby_with_me()
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")
    before = dict(lobby.profiles)

    answer = await guest.says("info", fields)

    assert answer["status"] == 400
    assert next(iter(fields)) in answer["msg"]
    assert lobby.profiles == before


@pytest.mark.parametrize("event", ["info", "apns", "discover"])
async def test_nobody_but_oneself_can_be_named(event: str) -> None:
    """The original lets anybody edit anybody, of any tenant (W2)."""
    lobby = lobby_with_me()
    lobby.neighbours = []
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")

    for client in ("/demo#u2#ios-d2", "/other#u1#ios-d1", "", None, 7):
        assert await guest.says(event, {"clientId": client, "device_token": "X"}) == FORBIDDEN
    assert await guest.says(event, {"clientId": ME}) != FORBIDDEN


async def test_apns_reads_adds_and_removes() -> None:
    """A list when it is read, also an empty one; remove wins."""
    guest = await Lobby().comes("uuid=d1&platform=ios")

    assert await guest.says("apns", {}) == []
    assert await guest.says("apns", {"add": ["r1", "r10", "r2"]}) == OK
    assert await guest.says("apns", {"add": ["r3"], "remove": ["r3", "r1"]}) == OK
    assert await guest.says("apns", {}) == ["r10", "r2"]
    assert await guest.says("apns", {"remove": ["r10", "r2"]}) == OK
    assert await guest.says("apns", {"add": "r1"}) == []


@pytest.mark.parametrize("edit", [{"add": ["a b"]}, {"remove": [7]}, {"add": ["r"] * 1001}])
async def test_apns_takes_names_of_rooms(edit: dict[str, Any]) -> None:
    """A comma in one would be two (W35)."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1&platform=ios")

    answer = await guest.says("apns", edit)

    assert answer == {"status": 400, "msg": f"{next(iter(edit))} invalid"}
    assert not lobby.muted


@pytest.mark.parametrize("platform", ["web", "android"])
async def test_apns_is_for_ios(platform: str) -> None:
    """Others are forbidden it."""
    guest = await Lobby().comes(f"uuid=d1&platform={platform}")

    assert await guest.says("apns", {}) == FORBIDDEN


async def test_discover_shows_who_is_near_without_their_secrets() -> None:
    """Texts, the distance in km; no token, no phone number."""
    lobby = lobby_with_me()
    lobby.neighbours = [
        Neighbour("/demo#u2#web-d2", "u2", Platform.WEB, 0.25, 1.0, 2.0),
        Neighbour("/demo#u3#web-d3", "u3", Platform.WEB, 11.0, 1.0, 2.0),
    ]
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")

    assert await guest.says("discover", {}) == {
        **OK,
        "list": [
            {
                "id": "/demo#u2#web-d2",
                "userid": "u2",
                "userId": "u2",
                "platform": "web",
                "distance": "0.2500",
                "longitude": "1.0",
                "latitude": "2.0",
            }
        ],
    }
    assert len((await guest.says("discover", {"radius": 20}))["list"]) == 2
    assert len((await guest.says("discover", {"radius": 20, "count": 1}))["list"]) == 1
    for odd in ({"radius": "x", "count": -1}, {"radius": 1e300, "count": 0.2}, {"count": True}):
        assert (await guest.says("discover", odd))["status"] == 200


async def test_discover_needs_a_place_and_somebody_who_listens() -> None:
    """Without an acknowledgement nobody would hear the answer."""
    lobby = lobby_with_me()
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")

    answer = await guest.says("discover", {})

    assert answer == {"status": 500, "msg": "this client has not said where it is"}
    assert await guest.says("discover", {}, wants_answer=False) is None


async def test_a_store_that_is_away_is_an_answer() -> None:
    """The connection stays."""
    lobby = lobby_with_me()
    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")
    lobby.trouble = Unavailable("the database is away or too slow")

    answer = await guest.says("info", {})

    assert answer == {"status": 500, "msg": "the database is away or too slow"}

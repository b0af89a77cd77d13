"""How clients of light-push come in, and go."""

import msgspec
import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import Draft, Namespace, StoredPush
from appmodel.core.names import Key
from appmodel.errors import OutcomeUnknown, Unavailable
from comet.core.lightpush_calling import Reply
from comet.core.rules import Accept, Emit, Join
from tests.comet.guests import DEMO, Lobby

BACKED = Namespace(
    "/demo",
    connect_callback="https://back.example/in",
    disconnect_callback="https://back.example/out",
)
MISSED = StoredPush(17, Draft("/demo", "r1", '{"a":1,"apsData":{"b":2}}', 1.0, 5000, 99_000_000))


async def test_who_comes_in_is_in_its_rooms_before_it_reads_ok() -> None:
    """First that it is in, then its rooms, then `ok` with its id and where it is."""
    lobby = Lobby()

    guest = await lobby.comes("uuid=d1&userid=u1&platform=ios")

    assert guest.done[0] == Accept("/demo#u1#ios-d1")
    assert guest.done[-1] == Emit(
        "ok", ({"system": "host-1", "port": 21314, "clientId": "/demo#u1#ios-d1"},)
    )
    assert guest.keys == [Key("/demo", "u1#ios-d1", ""), Key("/demo", "u1", "user")]
    assert lobby.roll == [
        ("came", "/demo#u1#ios-d1"),
        ("joined", "/demo#u1#ios-d1", "user_u1"),
    ]


async def test_parameters_of_the_connect_alone_are_enough() -> None:
    """Of 2.x in the packet, of 4.x in the payload: the original made `undefined` of them (W17)."""
    lobby = Lobby()
    guest = lobby.guest("EIO=4&transport=websocket")

    await guest.connects({"uuid": "d1", "userid": "u1"})

    assert guest.heard("ok")[0]["clientId"] == "/demo#u1#web-d1"


async def test_checks_come_in_their_order() -> None:
    """Namespace, offline, names: each with its text; all of them close first."""
    lobby = Lobby(records={"/demo": DEMO, "/off": Namespace("/off", is_offline=True)})
    lobby.records |= {name: Namespace(name) for name in ("/a b", "/" + "n" * 50)}

    for namespace, query, text in [
        ("/nowhere", "", "this namespace not found"),
        ("/a b", "uuid=d1", "this namespace not found"),
        ("/" + "n" * 50, "uuid=d1", "this namespace not found"),
        ("/off", "", "this namespace offline"),
        ("/demo", "", "uuid invalid"),
        ("/demo", "uuid=d1&userid=%40", "userid invalid"),
        ("/demo", "uuid=d1&platform=x", "platform invalid"),
    ]:
        refused = await lobby.refusal(query, namespace=namespace)
        assert (refused.message, refused.closes) == (text, True)


async def test_a_client_id_is_taken_once_and_free_again_when_it_has_gone() -> None:
    """The second one reads only the error."""
    lobby = Lobby()
    first = await lobby.comes("uuid=d1")

    refused = await lobby.refusal("uuid=d1")

    assert (refused.message, refused.closes) == ("socket.id conflict", False)
    first.leaves()
    await lobby.comes("uuid=d1")


async def test_equal_names_of_two_namespaces_are_two_clients() -> None:
    """Tenants share nothing."""
    lobby = Lobby(records={"/demo": DEMO, "/other": Namespace("/other")})
    first = await lobby.comes("uuid=d1")

    second = await lobby.comes("uuid=d1", namespace="/other")

    assert set(first.keys).isdisjoint(second.keys)


async def test_a_conflict_is_found_before_the_back_end_is_asked() -> None:
    """Of two equal clients one asks (W30)."""
    lobby = Lobby(records={"/demo": BACKED})
    await lobby.comes("uuid=d1")

    await lobby.refusal("uuid=d1")

    assert len(lobby.asked) == 1


async def test_a_back_end_is_asked_with_all_that_it_needs() -> None:
    """The merged query with its defaults, and the cookie."""
    lobby = Lobby(records={"/demo": BACKED})

    guest = lobby.guest("EIO=3&transport=polling&uuid=d1", cookie="sid=1")
    await guest.connects({"uuid": "other", "extra": "x"})

    (call,) = lobby.asked
    assert call.url == (
        "https://back.example/in?extra=x&EIO=3&transport=polling&uuid=d1&userid=d1&platform=web"
    )
    assert dict(call.headers)["cookie"] == "sid=1"


@pytest.mark.parametrize("status", [201, 204, 302, 403, 500])
async def test_a_veto_closes_and_leaves_no_trace(status: int) -> None:
    """Nothing is written, nobody is told that it has gone, and its id is free (W11)."""
    lobby = Lobby(records={"/demo": BACKED}, reply=Reply(status, b""))

    refused = await lobby.refusal("uuid=d1")

    assert refused.message == f"handshake fail statusCode: {status}"
    assert refused.closes


@pytest.mark.parametrize(
    "error", [Unavailable("connect ECONNREFUSED 10.0.0.7:80"), OutcomeUnknown("no answer")]
)
async def test_a_back_end_that_is_away_is_an_error_without_its_address(
    error: Unavailable | OutcomeUnknown,
) -> None:
    """The client reads the error alone (W29)."""
    lobby = Lobby(records={"/demo": BACKED}, reply=error)

    refused = await lobby.refusal("uuid=d1")

    assert (refused.message, refused.closes) == ("connect callback failed", False)


async def test_the_back_end_names_user_and_rooms() -> None:
    """The user's room and what is written of him; not the client's id, nor what others hear."""
    body = b'{"userid":"bob","rooms":["r1","bad room","user_eve","r1",7]}'
    lobby = Lobby(records={"/demo": BACKED}, reply=Reply(200, body))

    guest = await lobby.comes("uuid=d1&userid=u1&activityBroadcast=true")

    assert guest.heard("ok")[0]["clientId"] == "/demo#u1#web-d1"
    rooms = [entry[2] for entry in lobby.roll if entry[0] == "joined"]
    assert rooms == ["user_bob", "r1", "user_eve", "7"]
    assert {person["userid"] for _, _, person in guest.announced} == {"u1"}


async def test_a_user_who_can_be_none_is_not_replaced_by_another_one() -> None:
    """The client must not get into the room of whom it says it is."""
    lobby = Lobby(records={"/demo": BACKED}, reply=Reply(200, b'{"userid":"b b"}'))

    refused = await lobby.refusal("uuid=d1&userid=victim")

    assert refused.message == "userid invalid"


async def test_rooms_of_the_back_end_have_a_limit() -> None:
    """A back end can be wrong, too."""
    body = msgspec.json.encode({"rooms": [f"r{number}" for number in range(100)]})
    lobby = Lobby(records={"/demo": BACKED}, reply=Reply(200, body))

    guest = await lobby.comes("uuid=d1")

    assert len(guest.keys) == lobby.limits.rooms + 1


async def test_a_namespace_that_goes_offline_while_its_back_end_thinks_is_offline() -> None:
    """Who came in behind the dismissal would stay."""
    lobby = Lobby(records={"/demo": BACKED})
    lobby.on_ask = lambda: lobby.records.update({"/demo": Namespace("/demo", is_offline=True)})

    refused = await lobby.refusal("uuid=d1")

    assert refused.message == "this namespace offline"


async def test_an_android_client_reads_what_it_missed_before_ok() -> None:
    """Once, as events are, without what is Apple's; then its inbox is empty."""
    lobby = Lobby(inboxes={"/demo#d1#android-d1": [MISSED]})

    guest = await lobby.comes("uuid=d1&platform=android")

    events = [effect.name for effect in guest.done if isinstance(effect, Emit)]
    assert events == ["offlineMessage", "ok"]
    assert guest.heard("offlineMessage") == [
        [{"id": 17, "namespace": "/demo", "room": "r1", "pushData": {"a": 1}, "sendDate": 5000}]
    ]
    guest.leaves()
    again = await lobby.comes("uuid=d1&platform=android")
    assert again.heard("offlineMessage") == []


@pytest.mark.parametrize("platform", [Platform.WEB, Platform.IOS])
async def test_only_android_has_an_inbox(platform: Platform) -> None:
    """Whatever lies there by accident."""
    client = f"/demo#d1#{platform}-d1"
    lobby = Lobby(inboxes={client: [MISSED]})

    guest = await lobby.comes(f"uuid=d1&platform={platform}")

    assert guest.heard("offlineMessage") == []
    assert client in lobby.inboxes


async def test_a_store_that_is_away_keeps_nobody_out() -> None:
    """What was missed stays where it is."""
    lobby = Lobby(
        inboxes={"/demo#d1#android-d1": [MISSED]}, trouble=Unavailable("the store is away")
    )

    guest = await lobby.comes("uuid=d1&platform=android")

    assert guest.heard("ok")
    assert lobby.inboxes


async def test_who_died_on_its_way_in_takes_no_inbox_along() -> None:
    """It is gone, and reads what it missed the next time."""
    lobby = Lobby(inboxes={"/demo#d1#android-d1": [MISSED]})
    guest = lobby.guest("uuid=d1&platform=android")
    guest.is_open = False

    await guest.connects()
    guest.leaves()

    assert lobby.inboxes
    assert not lobby.claimed


async def test_the_back_end_hears_once_who_has_gone_with_the_same_query() -> None:
    """Cookie and query as they were at the handshake, whatever user it made of it."""
    lobby = Lobby(records={"/demo": BACKED}, reply=Reply(200, b'{"userid":"bob"}'))
    guest = lobby.guest("uuid=d1&userid=u1", cookie="sid=1")
    await guest.connects({"extra": "x"})

    guest.leaves()

    (call,) = lobby.told
    assert call.url == "https://back.example/out"
    assert dict(call.headers)["cookie"] == "sid=1"
    assert msgspec.json.decode(call.content) == {
        "query": {"extra": "x", "uuid": "d1", "userid": "u1", "platform": "web"}
    }


async def test_who_has_gone_is_written_with_all_its_rooms() -> None:
    """Also those that it joined later, and not those that it left."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")
    await guest.says("joinRoom", ["r1", "r2", "r3"])
    await guest.says("leaveRoom", "r2")

    guest.leaves()

    assert lobby.roll[-1] == ("went", "/demo#d1#web-d1", 3, "network")
    assert not lobby.rules.here("/demo")
    assert not lobby.entered


async def test_a_dead_client_that_is_replaced_does_not_take_the_new_one_off_the_roll() -> None:
    """It may hear that it is gone only later: behind what was under way for it."""
    lobby = Lobby(records={"/demo": BACKED})
    dead = await lobby.comes("uuid=d1&activityBroadcast=true")
    await dead.says("joinRoom", "r1")
    lobby.claimed.clear()  # it has shown no life

    await lobby.comes("uuid=d1")
    dead.leaves()

    came = ("came", "/demo#d1#web-d1")
    joined = ("joined", "/demo#d1#web-d1", "user_d1")
    assert lobby.roll[-3:] == [("went", "/demo#d1#web-d1", 2, "network"), came, joined]
    assert len(lobby.rules.here("/demo")) == len(lobby.told) == 1
    await lobby.refusal("uuid=d1")  # the id is the new one's


async def test_why_a_client_has_gone_is_written() -> None:
    """Its namespace was cleared; all else is the network."""
    lobby = Lobby()
    for reason, written in [("clear", "clear"), ("namespace offline", "network")]:
        guest = await lobby.comes("uuid=d1")

        guest.leaves(reason)

        assert lobby.roll[-1] == ("went", "/demo#d1#web-d1", 1, written)


async def test_nobody_is_told_where_the_namespace_is_gone() -> None:
    """There is no address any more."""
    lobby = Lobby(records={"/demo": BACKED})
    guest = await lobby.comes("uuid=d1")

    del lobby.records["/demo"]
    guest.leaves()

    assert lobby.told == []


async def test_the_first_effects_join_everything_before_ok() -> None:
    """An answer to `ok` may count on all rooms."""
    lobby = Lobby()
    guest = await lobby.comes("uuid=d1")

    joins = [at for at, effect in enumerate(guest.done) if isinstance(effect, Join)]
    assert max(joins) < len(guest.done) - 1

"""The native keys over Socket.IO: joins with tickets, what was missed, acknowledgements."""

import json
import time
from typing import Any

import pytest

from appmodel.core.names import Key, parse_key
from comet.config import CometConfig
from tests.comet.talking import Phone
from tests.comet.world import World, changed, open_comet


async def enter(world: World, auth: str = "", *, revision: int = 4) -> Phone:
    """A client that is in /appmsg."""
    phone = Phone(world.comet.socketio.talks, revision=revision)
    if revision == 3:
        await phone.hears()
    phone.say(f"0/appmsg,{auth}")
    assert (await phone.hears()).startswith("0/appmsg,")
    return phone


async def ask(phone: Phone, name: str, *arguments: Any) -> Any:
    """An event, and its acknowledgement."""
    phone.say(f"2/appmsg,7{json.dumps([name, *arguments])}")
    answer = await phone.hears()
    assert answer.startswith("3/appmsg,7[")
    [value] = json.loads(answer.removeprefix("3/appmsg,7"))
    return value


async def pushed(phone: Phone) -> Any:
    """The next push."""
    name, value = json.loads((await phone.hears()).removeprefix("2/appmsg,"))
    assert name == "push"
    return value


def ticket(world: World, key: str) -> str:
    """Good for a minute."""
    return world.credentials.issue_ticket(parse_key(key), now=time.time(), ttl=60)


@pytest.mark.parametrize("revision", [3, 4])
async def test_a_client_is_sent_what_is_pushed_to_its_keys(revision: int) -> None:
    """With key and id; live ones are marked."""
    async with open_comet() as world:
        phone = await enter(world, revision=revision)
        assert await ask(phone, "join", "u1@user") == {"ok": True, "key": "u1@user"}
        assert await ask(phone, "join", "a b") == {"ok": True, "key": "a b"}

        first = await world.push("u1@user", body=b'{"n":1}', ttl=60)
        second = await world.push("a b", body=b"2")

        assert await pushed(phone) == {"key": "u1@user", "mid": first.ids[0], "msg": {"n": 1}}
        live = {"key": "a b", "mid": second.ids[0], "live": True, "msg": 2}
        assert await pushed(phone) == live
        assert await ask(phone, "leave", "u1@user") == {"ok": True, "key": "u1@user"}
        assert (await world.push("u1@user")).online == (0,)


async def test_a_client_resumes_from_its_last_id() -> None:
    """What is stored above it comes before what is live, once."""
    async with open_comet() as world:
        ids = [(await world.push("k", body=b"%d" % n, ttl=60)).ids[0] for n in range(3)]
        phone = await enter(world)

        await ask(phone, "join", "k", {"mid": ids[0]})
        await world.push("k", body=b"3", ttl=60)

        assert [(await pushed(phone))["msg"] for _ in range(3)] == [1, 2, 3]


async def test_tickets_open_keys() -> None:
    """That of the connect counts where a join brings none; another key stays closed."""
    async with open_comet(auth=True) as world:
        phone = await enter(world, json.dumps({"token": ticket(world, "u1@user")}))

        assert (await ask(phone, "join", "u1@user"))["ok"]
        refused = await ask(phone, "join", "u2@user")
        assert (refused["ok"], refused["error"]) == (False, "unauthorized")
        assert (await ask(phone, "join", "u2@user", {"token": ticket(world, "u2@user")}))["ok"]
        assert (await world.push("u2@user")).online == (1,)


async def test_a_ticket_that_is_revoked_ends_its_joins() -> None:
    """The client is told; its other keys stay."""
    async with open_comet(auth=True) as world:
        phone = await enter(world)
        for key in ("u1@user", "u2@user"):
            await ask(phone, "join", key, {"token": ticket(world, key)})

        now = time.time()
        subject = f"key:{Key('', 'u1', 'user').stored}"
        await world.store.revoke(subject, issued_before=now + 1, kept_until=now + 60)

        name, value = json.loads((await phone.hears()).removeprefix("2/appmsg,"))
        assert (name, value["key"]) == ("left", "u1@user")
        assert (await world.push("u1@user")).online == (0,)
        assert (await world.push("u2@user")).online == (1,)


async def test_acknowledgements_are_heard() -> None:
    """Of keys that were joined, as presence shows."""
    async with open_comet() as world:
        phone = await enter(world)
        await ask(phone, "join", "k")
        message_id = (await world.push("k", ttl=60)).ids[0]
        assert (await pushed(phone))["mid"] == message_id

        assert (await ask(phone, "ack", {"key": "k", "mid": message_id}))["ok"]
        assert not (await ask(phone, "ack", {"key": "other", "mid": 1}))["ok"]

        [presence] = await world.comet.pusher.presence([parse_key("k")])
        assert (presence.online, presence.acknowledged) == (1, message_id)


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("join", [], "key"),
        ("join", [7], "key"),
        ("join", [""], "key"),
        ("join", ["k\n"], "key"),
        ("join", ["k", 5], "options"),
        ("join", ["k", {"mid": -1}], "mid"),
        ("join", ["k", {"mid": True}], "mid"),
        ("join", ["k", {"mid": 2**60}], "mid"),
        ("join", ["k", {"mid": 2**52}], "mid"),
        ("join", ["k", {"token": 5}], "token"),
        ("leave", [], "key"),
        ("ack", [], "ack"),
        ("ack", [{"key": "k"}], "mid"),
        ("sing", [], "event"),
    ],
)
async def test_bad_input_is_named(name: str, arguments: list[Any], field: str) -> None:
    """The field, and what was expected; nothing happens, and the client stays."""
    async with open_comet() as world:
        phone = await enter(world)

        answer = await ask(phone, name, *arguments)

        assert answer["ok"] is False
        assert answer["message"].startswith(f"{field}:")
        assert (await ask(phone, "join", "k"))["ok"]


async def test_limits_of_keys() -> None:
    """Of one client, and of one key: the same as for native clients."""
    config = changed(changed(CometConfig(), "namespaces", keys=2), "limits", per_key=1)
    async with open_comet(config) as world:
        phone, other = await enter(world), await enter(world)
        for key in ("a", "b", "a"):
            assert (await ask(phone, "join", key))["ok"]

        assert (await ask(phone, "join", "c"))["error"] == "limit"
        assert (await ask(other, "join", "a"))["error"] == "limit"

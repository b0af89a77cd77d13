"""Namespaces, events and effects of Socket.IO clients, without a socket."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from appmodel.core.message import Push
from appmodel.core.names import Key
from appmodel.errors import Unavailable
from comet.config import CometConfig
from comet.core.rules import (
    Accept,
    Answer,
    Broadcast,
    Client,
    Dismiss,
    Effects,
    Emit,
    Event,
    Join,
    Leave,
    Refused,
)
from tests.comet.several import FAST, open_cluster
from tests.comet.talking import Phone, Script
from tests.comet.world import World, changed, open_comet, pass_time

CHAT = "/chat"
LOBBY, HALL = Key(CHAT, "lobby", "qun"), Key(CHAT, "hall", "qun")


def tell(client: Client, event: Event) -> Effects:
    """Rules of a small chat: join, leave, tell a room, echo."""
    match event.name:
        case "join":
            return [Join(Key(CHAT, event.arguments[0], "qun")), Answer(("in",))]
        case "leave":
            return [Leave(Key(CHAT, event.arguments[0], "qun")), Answer(("out",))]
        case "tell":
            room, text = event.arguments
            return [Broadcast(Key(CHAT, room, "qun"), "told", (text,)), Answer(("sent",))]
        case "echo":
            return [Emit("echo", tuple(event.arguments)), Answer(tuple(event.arguments))]
        case "leave me":
            return [Dismiss("as you wish")]
    return ()


async def enter(world: World, rules: Script, *, revision: int = 4) -> Phone:
    """A client that is in /chat."""
    if world.comet.socketio.rules(CHAT) is None:
        world.comet.socketio.rules.serve(CHAT, rules)
    phone = Phone(world.comet.socketio.talks, revision=revision)
    if revision == 3:
        assert await phone.hears() == "0"
    phone.say("0/chat,")
    assert (await phone.hears()).startswith("0/chat")
    return phone


async def push(
    world: World, *keys: Key, body: bytes = b"1", without: str = "", tally: int = 0
) -> int:
    """A push that must not be refused: how many it was offered to."""
    push = Push(bytes(16), keys, body, without=without, tally=tally)
    [outcome] = await world.comet.pusher.push([push])
    assert not isinstance(outcome, Exception), outcome
    return sum(outcome.online)


# Coming in


async def test_a_client_of_revision_4_is_told_its_id() -> None:
    """One that nobody can guess, or the one that the rules gave it."""
    async with open_comet() as world:
        world.comet.socketio.rules.serve("/a", Script())
        world.comet.socketio.rules.serve("/b", Script(lambda client, asked: (Accept("it is me"),)))
        phone = Phone(world.comet.socketio.talks)

        phone.say('0/a,{"token":1}')
        phone.say("0/b,")

        a, b = sorted([await phone.hears(), await phone.hears()])
        assert a.startswith('0/a,{"sid":"')
        assert len(json.loads(a.partition(",")[2])["sid"]) == 20
        assert b == '0/b,{"sid":"it is me"}'


async def test_a_client_of_revision_3_is_in_the_root_at_once() -> None:
    """Where no rules are, too: it has no choice."""
    async with open_comet() as world:
        phone = Phone(world.comet.socketio.talks, revision=3)

        assert phone.heard == ["0"]


async def test_the_root_of_revision_3_is_asked_with_the_query_of_the_handshake() -> None:
    """It has no other."""
    asked: list[Any] = []

    def note(client: Client, what: Any) -> Effects:
        asked.append(what)
        return (Accept(),)

    async with open_comet() as world:
        world.comet.socketio.rules.serve("/", Script(note))
        phone = Phone(world.comet.socketio.talks, revision=3, query="EIO=3&name=ann")

        assert await phone.hears() == "0"
        assert asked == [{"EIO": "3", "name": "ann"}]


@pytest.mark.parametrize(
    ("revision", "said"),
    [(3, '4/no,"Invalid namespace"'), (4, '4/no,{"message":"Invalid namespace"}')],
)
async def test_a_namespace_that_is_not_there(revision: int, said: str) -> None:
    """The transport stays."""
    async with open_comet() as world:
        phone = Phone(world.comet.socketio.talks, revision=revision)

        phone.say("0/no,")

        assert phone.heard[-1] == said
        assert phone.is_open


@pytest.mark.parametrize(
    ("revision", "closes", "heard"),
    [
        (3, False, ['4/chat,"who are you"']),
        (3, True, ["1/chat,", '4/chat,"who are you"']),
        (4, False, ['4/chat,{"message":"who are you"}']),
        (4, True, ['4/chat,{"message":"who are you"}']),
    ],
)
async def test_a_refused_client(revision: int, closes: bool, heard: list[str]) -> None:
    """It hears why, and may try again; nobody is told that it has gone, for it never came."""

    def refuse(client: Client, asked: Any) -> Effects:
        raise Refused("who are you", closes=closes)

    rules = Script(refuse)
    async with open_comet() as world:
        world.comet.socketio.rules.serve(CHAT, rules)
        phone = Phone(world.comet.socketio.talks, revision=revision)
        if revision == 3:
            await phone.hears()

        phone.say("0/chat,")
        assert [await phone.hears() for _ in heard] == heard
        rules.on_connect = lambda client, asked: (Accept(),)
        phone.say("0/chat,")

        assert (await phone.hears()).startswith("0/chat,")
        assert rules.gone_for == []


async def test_a_refusal_with_data() -> None:
    """As middleware of the reference gives it: `err.data`."""

    def refuse(client: Client, asked: Any) -> Effects:
        raise Refused("no", {"code": 7})

    async with open_comet() as world:
        world.comet.socketio.rules.serve(CHAT, Script(refuse))
        phone = Phone(world.comet.socketio.talks)
        phone.say("0/chat,")

        assert await phone.hears() == '4/chat,{"message":"no","data":{"code":7}}'


async def test_what_cannot_be_asked_refuses_too() -> None:
    """A database that is away, for example."""

    def fail(client: Client, asked: Any) -> Effects:
        raise Unavailable("the database is away")

    async with open_comet() as world:
        world.comet.socketio.rules.serve(CHAT, Script(fail))
        phone = Phone(world.comet.socketio.talks)
        phone.say("0/chat,")

        assert await phone.hears() == '4/chat,{"message":"the database is away"}'


async def test_who_connects_nowhere_is_let_go(mock_clock: MockClock) -> None:
    """Revision 4 alone: an older client is in the root."""
    async with open_comet() as world:
        world.comet.socketio.rules.serve(CHAT, Script())
        new, old, busy = (
            Phone(world.comet.socketio.talks, revision=revision) for revision in (4, 3, 4)
        )
        busy.say("0/chat,")

        await pass_time(mock_clock, world.comet.config.namespaces.connect_timeout + 1)

        assert new.closed_for == "no namespace in time"
        assert old.is_open
        assert busy.is_open


# Events


async def test_events_and_their_acknowledgements() -> None:
    """In both revisions; an event that asks for none gets none."""
    for revision in (3, 4):
        async with open_comet() as world:
            phone = await enter(world, Script(on_event=tell), revision=revision)

            phone.say('2/chat,["echo",1,{"a":null}]')
            phone.say('2/chat,7["echo","x"]')

            assert phone.heard == [
                '2/chat,["echo",1,{"a":null}]',
                '2/chat,["echo","x"]',
                '3/chat,7["x"]',
            ]


async def test_bytes_go_both_ways() -> None:
    """As attachments behind their event, which is one message for the rules."""
    async with open_comet() as world:
        phone = await enter(world, Script(on_event=tell))

        phone.say('51-/chat,["echo",{"_placeholder":true,"num":0}]')
        phone.say(b"\x00\x01")

        assert phone.heard == ['51-/chat,["echo",{"_placeholder":true,"num":0}]', "bAAE="]


async def test_the_client_acknowledges_our_events() -> None:
    """Each once, and only those that asked for it."""
    answers: list[Sequence[Any]] = []

    def answered(arguments: Sequence[Any]) -> Effects:
        answers.append(arguments)
        return [Emit("thanks")]

    rules = Script(on_connect=lambda client, asked: [Accept(), Emit("q", (1,), answered)])
    async with open_comet() as world:
        phone = await enter(world, rules)
        assert await phone.hears() == '2/chat,0["q",1]'

        phone.say('3/chat,0["a"]')
        phone.say('3/chat,0["again"]')
        phone.say('3/chat,9["never asked"]')

        assert await phone.hears() == '2/chat,["thanks"]'
        assert phone.heard == []
        assert answers == [["a"]]


async def test_what_takes_time_keeps_its_place() -> None:
    """Later events of this client wait; those of others do not. What comes early waits for the welcome."""
    gate = trio.Event()

    async def slowly(answer: str) -> Effects:
        await gate.wait()
        return [Emit(answer)]

    async def admit() -> Effects:
        await gate.wait()
        return [Accept()]

    rules = Script(
        on_event=lambda client, event: slowly("slow") if event.name == "slow" else [Emit("quick")]
    )
    async with open_comet() as world:
        first, other = await enter(world, rules), await enter(world, rules)
        rules.on_connect = lambda client, asked: admit()
        early = Phone(world.comet.socketio.talks)
        early.say("0/chat,")
        early.say('2/chat,["quick"]')
        first.say('2/chat,["slow"]')
        first.say('2/chat,["quick"]')
        other.say('2/chat,["quick"]')

        assert other.heard == ['2/chat,["quick"]']
        assert first.heard == early.heard == []
        gate.set()

        assert [await first.hears(), await first.hears()] == ['2/chat,["slow"]', '2/chat,["quick"]']
        assert (await early.hears()).startswith("0/chat")
        assert await early.hears() == '2/chat,["quick"]'


async def test_several_namespaces_are_several_clients() -> None:
    """One can be left without the others."""
    async with open_comet() as world:
        rules = Script(on_event=tell)
        phone = await enter(world, rules)
        world.comet.socketio.rules.serve("/other", rules)
        phone.say("0/other,")
        await phone.hears()

        phone.say("1/chat,")
        phone.say('2/other,["echo",1]')

        assert await phone.hears() == '2/other,["echo",1]'
        assert rules.gone_for == ["client namespace disconnect"]


# Keys


@pytest.mark.parametrize("revision", [3, 4])
async def test_who_has_joined_gets_what_is_pushed(revision: int) -> None:
    """Until it leaves; the body is the event, or the argument of `push`."""
    async with open_comet() as world:
        phone = await enter(world, Script(on_event=tell), revision=revision)
        phone.say('2/chat,1["join","lobby"]')
        assert await phone.hears() == '3/chat,1["in"]'

        assert await push(world, LOBBY, body=b'["hi",{"n":1}]') == 1
        assert await push(world, LOBBY, body=b'{"n":2}') == 1
        assert await push(world, HALL) == 0
        phone.say('2/chat,2["leave","lobby"]')
        assert await push(world, LOBBY) == 0

        assert [await phone.hears() for _ in range(3)] == [
            '2/chat,["hi",{"n":1}]',
            '2/chat,["push",{"n":2}]',
            '3/chat,2["out"]',
        ]


async def test_joining_twice_is_joining_once() -> None:
    """And leaving what was not joined is nothing."""
    async with open_comet() as world:
        phone = await enter(world, Script(on_event=tell))
        phone.say('2/chat,1["join","lobby"]')
        phone.say('2/chat,2["join","lobby"]')
        phone.say('2/chat,3["leave","hall"]')
        for _ in range(3):
            await phone.hears()

        assert await push(world, LOBBY) == 1
        assert await phone.hears() == '2/chat,["push",1]'
        assert phone.heard == []


async def test_a_broadcast_spares_its_sender() -> None:
    """On every comet; and a client of the same rules that has not joined hears nothing."""
    async with open_cluster("a", "b", config=FAST) as cluster:
        rules = Script(on_event=tell)
        phones = [await enter(comet, rules) for comet in cluster.worlds.values() for _ in range(2)]
        stranger = await enter(cluster.worlds["b"], rules)
        for phone in phones:
            phone.say('2/chat,1["join","lobby"]')
            assert await phone.hears() == '3/chat,1["in"]'

        phones[0].say('2/chat,2["tell","lobby","psst"]')

        assert await phones[0].hears() == '3/chat,2["sent"]'
        assert [await phone.hears() for phone in phones[1:]] == ['2/chat,["told","psst"]'] * 3
        assert stranger.heard == []


async def test_frames_are_counted_for_who_asks() -> None:
    """Of every comet, without whoever is spared, in large rooms and small ones."""
    async with open_comet() as world:
        rules = Script(on_event=tell)
        phones = [await enter(world, rules) for _ in range(300)]
        for phone in phones:
            phone.say('2/chat,1["join","lobby"]')
            await phone.hears()
        phones[7].say('2/chat,1["join","hall"]')
        await phones[7].hears()
        tallies: list[tuple[str, int, int]] = []
        world.comet.live.hub.on_tally = lambda *tally: tallies.append(tally)

        await push(world, LOBBY, tally=17)
        await push(world, LOBBY, HALL, tally=18, without=rules.clients[7].sid)
        await push(world, LOBBY)

        by_number = {number: sum(t[2] for t in tallies if t[1] == number) for number in (17, 18)}
        assert by_number == {17: 300, 18: 299}
        assert {realm for realm, _, _ in tallies} == {CHAT}


# Going


async def test_a_broken_transport_ends_all_its_clients() -> None:
    """Their rules hear of it once, what they broadcast then is heard, and nobody holds their keys."""

    def wave(client: Client, reason: str) -> Effects:
        return [Broadcast(key, "gone", (reason,)) for key in client.keys]

    async with open_comet() as world:
        rules = Script(on_event=tell, on_gone=wave)
        phone, other = await enter(world, rules), await enter(world, rules)
        for each in (phone, other):
            each.say('2/chat,1["join","lobby"]')
            await each.hears()

        phone.lose("transport close")

        assert await other.hears() == '2/chat,["gone","transport close"]'
        assert rules.gone_for == ["transport close"]
        assert await push(world, LOBBY) == 1
        assert len(list(world.comet.socketio.talks.clients_of(CHAT))) == 1


async def test_a_client_that_goes_while_it_is_asked_about() -> None:
    """Whoever let it in hears that it has gone; it never joins anything."""
    gate = trio.Event()

    async def slowly() -> Effects:
        await gate.wait()
        return [Accept(), Join(LOBBY)]

    rules = Script(lambda client, asked: slowly())
    async with open_comet() as world:
        world.comet.socketio.rules.serve(CHAT, rules)
        phone = Phone(world.comet.socketio.talks)
        phone.say("0/chat,")
        while not rules.clients:
            await trio.lowlevel.checkpoint()

        phone.lose("transport close")
        gate.set()

        await world.until(lambda: rules.gone_for == ["transport close"])
        assert await push(world, LOBBY) == 0


async def test_who_goes_while_it_joins_is_not_announced() -> None:
    """What follows from having joined is dropped with the join; what it has left is still told."""

    def act(client: Client, event: Event) -> Effects:
        if event.name == "enter":
            return [Join(LOBBY), Broadcast(LOBBY, "joined"), Answer()]
        return [Leave(LOBBY), Broadcast(LOBBY, "left")]

    rules = Script(on_event=act)
    async with open_comet() as world:
        other, first, second = [await enter(world, rules) for _ in range(3)]
        for phone in (other, second):
            phone.say('2/chat,1["enter"]')
            while await phone.hears() != "3/chat,1[]":
                pass
        assert await other.hears() == '2/chat,["joined"]'

        first.say('2/chat,1["enter"]')
        first.lose()
        second.say('2/chat,["exit"]')
        second.lose()

        assert await other.hears() == '2/chat,["left"]'
        await world.until(lambda: rules.gone_for == ["transport error"] * 2)
        assert other.heard == []


async def test_a_dismissed_client_keeps_its_transport() -> None:
    """It hears that the server disconnected it, and may come back."""
    rules = Script(on_event=tell)
    async with open_comet() as world:
        phone = await enter(world, rules)
        phone.say('2/chat,["leave me"]')

        assert await phone.hears() == "1/chat,"
        assert rules.gone_for == ["as you wish"]
        phone.say("0/chat,")
        assert (await phone.hears()).startswith("0/chat,")


async def test_what_others_have_done_to_a_client() -> None:
    """`do` is carried out behind what is under way."""
    async with open_comet() as world:
        rules = Script(on_event=tell)
        phone = await enter(world, rules)

        rules.clients[0].do([Join(LOBBY), Emit("moved")])

        assert await phone.hears() == '2/chat,["moved"]'
        assert await push(world, LOBBY) == 1


# Limits


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (["9"], "parse error"),
        (['2/chat,["a"'], "parse error"),
        (['2/nowhere,["a"]'], "no client in /nowhere"),
        (["0/chat,"], "connected twice"),
        (["4/chat,{}"], "client error"),
    ],
)
async def test_what_ends_a_transport(said: list[str], reason: str) -> None:
    """Of revision 4, as the reference does it."""
    async with open_comet() as world:
        phone = await enter(world, Script())

        for text in said:
            phone.say(text)

        assert phone.closed_for == reason


async def test_who_floods_is_let_go() -> None:
    """By packets a second, namespaces at once, and events that wait."""
    config = changed(CometConfig(), "namespaces", events=50, per_connection=2, backlog=5)

    async def for_ever() -> None:
        await trio.sleep_forever()

    rules = Script(on_event=lambda client, event: for_ever() if event.name == "wait" else ())
    async with open_comet(config) as world:
        flood, wide, behind = [await enter(world, rules) for _ in range(3)]
        world.comet.socketio.rules.serve_others(rules)
        for number in range(100):
            if flood.is_open:
                flood.say(f'2/chat,["n",{number}]')
            if wide.is_open and number < 3:
                wide.say(f"0/n{number},")
            if behind.is_open and number < 10:
                behind.say('2/chat,["wait"]')

        assert flood.closed_for == "too many packets"
        assert wide.closed_for == "too many namespaces"
        assert behind.closed_for == "too many events at once"


async def test_a_bug_in_rules_ends_one_transport() -> None:
    """In what takes time; others go on."""

    async def fail() -> Effects:
        raise RuntimeError("a bug")

    rules = Script(on_event=lambda client, event: fail() if event.name == "fail" else [Emit("ok")])
    async with open_comet() as world:
        phone, other = await enter(world, rules), await enter(world, rules)

        phone.say('2/chat,["fail"]')
        await world.until(lambda: not phone.is_open)
        other.say('2/chat,["fine"]')

        assert phone.closed_for == "internal error"
        assert other.heard == ['2/chat,["ok"]']
        assert rules.gone_for == ["internal error"]


async def test_rules_hear_of_who_has_gone_though_a_bug_was_under_way() -> None:
    """Else its id would be taken for good."""
    thinks = trio.Event()

    async def fail() -> Effects:
        await thinks.wait()
        raise RuntimeError("a bug")

    rules = Script(on_event=lambda client, event: fail())
    async with open_comet() as world:
        phone = await enter(world, rules)
        phone.say('2/chat,["fail"]')

        phone.lose("transport error")
        assert rules.gone_for == []
        thinks.set()

        await world.until(lambda: rules.gone_for == ["transport error"])

"""The Python client against a comet that follows a script: nothing is lost, nothing comes twice."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from appmsg_client import Connected, Disconnected, Message, Refused, Subscription, subscribe
from trio.testing import MockClock

from tests.clients.scripted import Comet, Line, Web

Event = Connected | Disconnected


async def take(messages: Subscription, count: int) -> list[int]:
    """The ids of the next `count` messages."""
    return [(await anext(messages)).mid for _ in range(count)]


async def test_it_subscribes_as_the_protocol_says(comet: Comet) -> None:
    """Key, ticket, heartbeat, version 2 and the starting id are in the request."""
    async with subscribe("u1@user", server=comet.url, token="t&t", mid=7, heartbeat=45) as messages:
        line = await comet.accept_welcome()
        await line.message(8, {"text": "hé"})
        message = await anext(messages)

    assert (line.path, line.query) == (
        "/sub",
        {"key": "u1@user", "heartbeat": "45", "ver": "2", "token": "t&t", "mid": "7"},
    )
    assert message == Message(
        8, {"text": "hé"}, '{"msg": {"text": "h\\u00e9"}, "mid": 8, "gid": 0}'
    )


async def test_it_resumes_where_it_was_cut_off(comet: Comet, clock: MockClock) -> None:
    """After a loss it asks for what is newer than the last id, and drops what it has already."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        for mid in (1, 2):
            await line.message(mid)
        assert await take(messages, 2) == [1, 2]

        await line.cut()
        line = await comet.accept_welcome()
        for mid in (2, 3, 3, 1, 4):  # more than was asked for
            await line.message(mid)

        assert line.query["mid"] == "2"
        assert await take(messages, 2) == [3, 4]


async def test_a_live_message_overtakes_a_stored_one_and_hides_none(comet: Comet) -> None:
    """A stored message is handed out also below the id of a live one; the caller can tell them apart."""
    async with subscribe("u1@user", server=comet.url, mid=4) as messages:
        line = await comet.accept_welcome()
        await line.message(5)
        await line.live_message(12)
        await line.message(11)
        received = [await anext(messages) for _ in range(3)]

        assert [(message.mid, message.live) for message in received] == [
            (5, False),
            (12, True),
            (11, False),
        ]
        assert messages.mid == 11


async def test_it_never_resumes_from_a_live_message(comet: Comet, clock: MockClock) -> None:
    """After a loss it asks for what is newer than the last stored one, so it gets what came between."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        await line.message(5)
        await line.live_message(12)
        assert await take(messages, 2) == [5, 12]
        assert messages.mid == 5

        await line.cut()
        line = await comet.accept_welcome()
        await line.message(11)

        assert line.query["mid"] == "5"
        assert await take(messages, 1) == [11]


async def test_a_live_message_comes_once(comet: Comet, clock: MockClock) -> None:
    """It is dropped if it is not above the last live one, or not above the last stored one."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        for mid in (12, 12, 9, 13):
            await line.live_message(mid)
        await line.message(20)
        await line.live_message(19)
        await line.cut()
        line = await comet.accept_welcome()
        for mid in (13, 20, 21):
            await line.live_message(mid)

        assert await take(messages, 4) == [12, 13, 20, 21]


@pytest.mark.parametrize(("begin", "resume"), [(7, "7"), (None, "1785312000000000")])
async def test_live_messages_alone_leave_the_position_where_it_began(
    comet: Comet, web: Web, clock: MockClock, begin: int | None, resume: str
) -> None:
    """Before the first stored one it is what the caller named, or the moment it began."""
    web.answer_server(comet.address)
    web.answer("/1/time/get", {"data": {"timeid": 1785312000000000}, "ret": 0})
    async with subscribe("u1@user", web=web.url, mid=begin) as messages:
        line = await comet.accept_welcome()
        await line.live_message(1785312000000012)
        await take(messages, 1)
        await line.cut()
        line = await comet.accept_welcome()

        assert messages.mid == begin
    assert line.query["mid"] == resume


async def test_unread_messages_are_not_asked_for_again(comet: Comet, clock: MockClock) -> None:
    """What waits in the queue was received: it survives the connection that brought it."""
    async with subscribe("u1@user", server=comet.url, mid=0) as messages:
        line = await comet.accept_welcome()
        for mid in (1, 2, 3):
            await line.message(mid)
        assert await take(messages, 1) == [1]

        await line.close(4001, "slow")
        line = await comet.accept_welcome()
        await line.message(4)

        assert messages.mid == 1
        assert line.query["mid"] == "3"
        assert await take(messages, 3) == [2, 3, 4]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (4400, "heartbeat: got 5"),
        (4401, "ticket refused"),
        (4402, "ticket revoked"),
        (4409, "too many connections of this key"),
    ],
)
async def test_a_refusal_ends_it_after_what_was_received(
    comet: Comet, code: int, reason: str
) -> None:
    """The messages come first; the error says code and reason, as often as it is asked."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        await line.message(1)
        await line.close(code, reason)

        assert await take(messages, 1) == [1]
        for _ in range(2):
            with pytest.raises(Refused, match=f"{code}: {reason}") as refused:
                await anext(messages)
            assert (refused.value.code, refused.value.reason) == (code, reason)


@pytest.mark.parametrize(("text", "code"), [("-p\r\n", 4400), ("-a\r\n", 4401)])
async def test_a_refusal_in_gopush_words_is_one(comet: Comet, text: str, code: int) -> None:
    """A comet that hangs up after `-p` or `-a` without a code of its own has refused all the same."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept()
        await line.say(text)
        await line.cut()

        with pytest.raises(Refused) as refused:
            await anext(messages)
    assert refused.value.code == code


async def test_the_close_says_more_than_the_word_before_it(comet: Comet) -> None:
    """`-p`, then 4400 with what was wrong: the caller sees what was wrong."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept()
        await line.say("-p\r\n")
        await line.close(4400, "key: got 'u 1'")

        with pytest.raises(Refused, match="key: got 'u 1'"):
            await anext(messages)


async def test_a_key_that_lives_elsewhere_is_looked_up_again(
    comet: Comet, other_comet: Comet, web: Web
) -> None:
    """After `-n` web is asked again, and the client goes there at once."""
    web.answer_server(comet.address, other_comet.address)
    async with subscribe("u1@user", web=web.url, mid=5) as messages:
        line = await comet.accept()
        await line.say("-n\r\n")
        await line.close(4000, "moved")
        line = await other_comet.accept_welcome()
        await line.message(6)

        assert await take(messages, 1) == [6]
    assert line.query["mid"] == "5"
    assert web.asked == [("/1/server/get", {"k": "u1@user", "p": "1"}, b"")] * 2


async def test_a_move_with_an_address_needs_no_look_up(
    comet: Comet, other_comet: Comet, web: Web
) -> None:
    """`moved <url>` is obeyed at once."""
    web.answer_server(comet.address)
    events: list[Event] = []
    async with subscribe("u1@user", web=web.url, mid=5, on_event=events.append) as messages:
        line = await comet.accept_welcome()
        await line.message(6)
        await line.close(4000, f"moved {other_comet.url}")
        line = await other_comet.accept_welcome()
        await line.message(7)

        assert await take(messages, 2) == [6, 7]
    assert line.query["mid"] == "6"
    assert web.asked_for("/1/server/get") == 1
    assert events == [
        Connected(comet.url, 5),
        Disconnected(4000, f"moved {other_comet.url}", 0.0),
        Connected(other_comet.url, 6),
    ]


async def test_a_move_that_leads_nowhere_ends_at_web(
    comet: Comet, other_comet: Comet, nobody: str, web: Web, clock: MockClock
) -> None:
    """Nobody listens at the new address: web is asked after a pause, and the position stands."""
    web.answer_server(comet.address, other_comet.address)
    events: list[Event] = []
    async with subscribe("u1@user", web=web.url, mid=5, on_event=events.append):
        line = await comet.accept_welcome()
        await line.close(4000, f"moved {nobody}")
        line = await other_comet.accept_welcome()

    assert line.query["mid"] == "5"
    assert web.asked_for("/1/server/get") == 2
    codes = [event.code for event in events if isinstance(event, Disconnected)]
    assert codes == [4000, 1006]


async def test_a_move_that_leads_nowhere_ends_where_it_was_told_to_begin(
    comet: Comet, nobody: str, clock: MockClock
) -> None:
    """Without a web to ask, that is the server that the caller named."""
    async with subscribe("u1@user", server=comet.url, mid=5):
        line = await comet.accept_welcome()
        await line.close(4000, f"moved {nobody}")
        line = await comet.accept_welcome()

    assert line.query["mid"] == "5"


async def test_a_lost_comet_is_tried_again_then_web_is_asked(
    comet: Comet, other_comet: Comet, web: Web, clock: MockClock
) -> None:
    """The first return goes to the same comet; if that does not welcome it, web knows better."""
    web.answer_server(comet.address, other_comet.address)
    async with subscribe("u1@user", web=web.url, mid=0):
        await (await comet.accept_welcome()).cut()
        await (await comet.accept()).cut()
        await other_comet.accept_welcome()

    assert web.asked_for("/1/server/get") == 2


async def test_no_message_yet_is_no_excuse_for_a_gap(
    comet: Comet, web: Web, clock: MockClock
) -> None:
    """Without a starting id it resumes from the moment it began, which web knows."""
    web.answer_server(comet.address)
    web.answer("/1/time/get", {"data": {"timeid": 1785312000000000}, "ret": 0})
    async with subscribe("u1@user", web=web.url):
        first = await comet.accept_welcome()
        await first.cut()
        second = await comet.accept_welcome()

    assert "mid" not in first.query
    assert second.query["mid"] == "1785312000000000"


async def test_silence_is_noticed(comet: Comet, clock: MockClock) -> None:
    """A comet that answers no heartbeat is dead 15 s after it should have, and is left."""
    events: list[Event] = []
    async with subscribe("u1@user", server=comet.url, on_event=events.append):
        line = await comet.accept_welcome()
        started = trio.current_time()
        assert [await line.hear(), await line.hear_end()] == ["h", 1000]
        left = trio.current_time()
        await comet.accept_welcome()

    assert 45 <= left - started < 47
    assert [event.reason for event in events if isinstance(event, Disconnected)] == [
        "silent for 45 s"
    ]


async def test_a_silent_key_stays_subscribed(comet: Comet, clock: MockClock) -> None:
    """Heartbeats go out in time and their answers are life enough; none before the welcome."""
    async with subscribe("u1@user", server=comet.url, heartbeat=60) as messages:
        line = await comet.accept_welcome()
        started = trio.current_time()
        for _ in range(100):
            assert await line.hear() == "h"
            await line.welcome()
        beaten = trio.current_time()
        await line.message(1)

        assert await take(messages, 1) == [1]
    assert beaten - started <= 100 * 60


async def test_a_slow_caller_slows_the_comet_down(comet: Comet, clock: MockClock) -> None:
    """Nothing piles up in the client: the comet's writes stall, heartbeats go on, all arrives."""
    body = "x" * 100_000
    sent = 0

    async def flood(line: Line) -> None:
        nonlocal sent
        for mid in range(1, 301):
            await line.message(mid, body)
            sent = mid

    async with (
        subscribe("u1@user", server=comet.url, queue=2) as messages,
        trio.open_nursery() as nursery,
    ):
        line = await comet.accept_welcome()
        nursery.start_soon(flood, line)
        beats = [await line.hear() for _ in range(3)]
        stalled_at = sent

        assert beats == ["h"] * 3
        assert stalled_at < 200  # the rest is in buffers of the kernel: about 6 MB on loopback
        assert await take(messages, 300) == list(range(1, 301))


async def test_what_is_acknowledged_is_told(comet: Comet) -> None:
    """It is on its way when the call returns, and what is older needs no telling."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        await line.message(5)
        await take(messages, 1)
        await messages.acknowledge(5)
        await messages.acknowledge(4)
        await messages.acknowledge(6)

        assert [await line.hear(), await line.hear()] == ['{"ack":[5]}', '{"ack":[6]}']


async def test_acknowledgements_in_a_crowd_do_not_wait_for_a_heartbeat(
    comet: Comet, clock: MockClock
) -> None:
    """One that comes while another is being written is written next; the highest is told."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        await line.message(1)
        await take(messages, 1)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for mid in range(2, 200):
                nursery.start_soon(messages.acknowledge, mid)
                await trio.lowlevel.checkpoint()

        assert trio.current_time() - started < 20
        told = await line.hear()
        while told != '{"ack":[199]}':
            told = await line.hear()


async def test_what_was_handled_off_line_is_told_after_the_welcome(
    comet: Comet, clock: MockClock
) -> None:
    """An acknowledgement waits for no connection, and is not lost with one."""
    events: list[Event] = []
    async with subscribe("u1@user", server=comet.url, on_event=events.append) as messages:
        line = await comet.accept_welcome()
        await line.message(5)
        await take(messages, 1)
        await line.close(4003, "try later")
        line = await comet.accept()
        await messages.acknowledge(5)
        await line.welcome()

        assert await line.hear() == '{"ack":[5]}'


async def test_what_was_told_is_told_again_after_a_loss(comet: Comet, clock: MockClock) -> None:
    """The line that it was written to may have died with it."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        await line.message(5)
        await take(messages, 1)
        await messages.acknowledge(5)
        await line.cut()
        line = await comet.accept_welcome()

        assert await line.hear() == '{"ack":[5]}'


async def test_it_acknowledges_by_itself_what_the_caller_has_done_with(comet: Comet) -> None:
    """Asking for the next message says that the one before was handled; so does leaving."""
    async with subscribe("u1@user", server=comet.url, acknowledge=True) as messages:
        line = await comet.accept_welcome()
        for mid in (5, 6):
            await line.message(mid)
        assert await take(messages, 2) == [5, 6]
        assert await line.hear() == '{"ack":[5]}'

    assert await line.hear() == '{"ack":[6]}'


async def test_live_messages_are_acknowledged_too(comet: Comet) -> None:
    """By the caller's word, and by itself."""
    async with subscribe("u1@user", server=comet.url, acknowledge=True) as messages:
        line = await comet.accept_welcome()
        await line.live_message(5)
        await take(messages, 1)
        await messages.acknowledge(5)
        assert await line.hear() == '{"ack":[5]}'
        await line.live_message(6)
        await take(messages, 1)

    assert await line.hear() == '{"ack":[6]}'


@pytest.mark.parametrize("rubbish", ["{}", "rubbish", b"\x00"])
async def test_a_comet_that_talks_rubbish_is_left(
    comet: Comet, clock: MockClock, rubbish: str | bytes
) -> None:
    """The position stands, and the next connection may do better."""
    async with subscribe("u1@user", server=comet.url, mid=3) as messages:
        line = await comet.accept_welcome()
        await line.say(rubbish)
        line = await comet.accept_welcome()
        await line.message(4)

        assert await take(messages, 1) == [4]
    assert line.query["mid"] == "3"


async def test_a_message_over_the_limit_ends_its_connection(comet: Comet, clock: MockClock) -> None:
    """No comet can fill the client's memory."""
    events: list[Event] = []
    async with subscribe("u1@user", server=comet.url, max_message=1000, on_event=events.append):
        line = await comet.accept_welcome()
        await line.message(1, "x" * 1000)
        assert await line.hear_end() == 1009
        await comet.accept_welcome()

    assert [event.code for event in events if isinstance(event, Disconnected)] == [1009]


async def test_it_waits_for_a_web_that_is_away(comet: Comet, web: Web, clock: MockClock) -> None:
    """Whatever web answers, short of a refusal, it is asked again."""
    fine = {"data": {"server": comet.address}, "ret": 0}
    wrong = [
        {"ret": 1001},
        [],
        {"ret": 0},
        {"data": {}, "ret": 0},
        {"data": {"server": "?"}, "ret": 0},
    ]
    web.answer("/1/server/get", *wrong, fine)
    events: list[Event] = []
    async with subscribe("u1@user", web=web.url, mid=0, on_event=events.append) as messages:
        line = await comet.accept_welcome()
        await line.message(1)
        await take(messages, 1)

    assert [type(event) for event in events] == [Disconnected] * len(wrong) + [Connected]
    assert web.asked_for("/1/server/get") == len(wrong) + 1


async def test_it_waits_for_a_comet_that_is_away(nobody: str, clock: MockClock) -> None:
    """Nobody listens there: pauses grow up to half a minute, and the reason is told."""
    events: list[Event] = []
    enough = trio.Event()

    def note(event: Event) -> None:
        events.append(event)
        if len(events) == 40:
            enough.set()

    async with subscribe("u1@user", server=nobody, on_event=note):
        await enough.wait()

    waits = [event.retry_in for event in events if isinstance(event, Disconnected)]
    assert all(wait is not None and wait <= min(30, 0.5 * 2**n) for n, wait in enumerate(waits, 1))
    assert max(wait for wait in waits if wait is not None) > 8  # by chance less: once in 10**19
    assert f"cannot connect to {nobody}: Connection refused" in str(events[0])


async def test_web_may_refuse_the_key(web: Web) -> None:
    """A key that web calls wrong will stay wrong."""
    web.answer("/1/server/get", {"ret": 65534})
    async with subscribe("u 1", web=web.url, mid=0) as messages:
        with pytest.raises(Refused, match=r"4400.*65534"):
            await anext(messages)


async def test_the_hook_hears_of_every_change_and_no_secret(comet: Comet, clock: MockClock) -> None:
    """Connected, disconnected, connected: in order, with the position, without the ticket."""
    events: list[Event] = []
    async with subscribe(
        "u1@user", server=comet.url, token="secret", on_event=events.append
    ) as messages:
        line = await comet.accept_welcome()
        await line.message(1)
        await take(messages, 1)
        await line.close(1001, "going away")
        line = await comet.accept_welcome()
        await line.message(2)
        await take(messages, 1)

    first, lost, second = events
    assert (first, second) == (Connected(comet.url, None), Connected(comet.url, 1))
    assert isinstance(lost, Disconnected)
    assert (lost.code, lost.reason) == (1001, "going away")
    assert "secret" not in repr(events)


async def test_leaving_says_goodbye_and_leaves_nothing_running(
    comet: Comet, nursery: trio.Nursery
) -> None:
    """The comet sees a proper close, and the caller's task has no children."""
    task = trio.lowlevel.current_task()
    before = len(task.child_nurseries)
    async with subscribe("u1@user", server=comet.url):
        line = await comet.accept_welcome()

    assert len(task.child_nurseries) == before
    assert await line.hear_end() == 1000


async def wait_for_message(messages: Subscription, comet: Comet) -> None:
    await anext(messages)


async def wait_in_the_block(messages: Subscription, comet: Comet) -> None:
    await trio.sleep_forever()


async def wait_to_be_told(messages: Subscription, comet: Comet) -> None:
    await messages.acknowledge(1)
    await trio.sleep_forever()


@pytest.mark.parametrize("wait", [wait_for_message, wait_in_the_block, wait_to_be_told])
async def test_it_can_be_cancelled_anywhere(
    comet: Comet, clock: MockClock, wait: Callable[[Subscription, Comet], Awaitable[None]]
) -> None:
    """Cancelled around the block it ends as cancelled scopes do, without an error."""
    with trio.move_on_after(5) as scope:
        async with subscribe("u1@user", server=comet.url) as messages:
            line = await comet.accept_welcome()
            await wait(messages, comet)

    assert scope.cancelled_caught
    assert await line.hear_end() == 1006


async def test_a_cancelled_reader_loses_nothing(comet: Comet, clock: MockClock) -> None:
    """A caller may wait for the next message with a deadline, and try again."""
    async with subscribe("u1@user", server=comet.url) as messages:
        line = await comet.accept_welcome()
        for mid in range(1, 20):
            with trio.move_on_after(1):
                await take(messages, 1)
                pytest.fail("there was nothing to take")
            await line.message(mid)
            assert await take(messages, 1) == [mid]


async def test_the_callers_error_is_the_callers(comet: Comet) -> None:
    """What is raised in the block comes out as it is, with its cause, in no group."""
    cause, error = KeyError("cause"), RuntimeError("mine")

    async def fail() -> None:
        async with subscribe("u1@user", server=comet.url):
            await comet.accept_welcome()
            raise error from cause

    with pytest.raises(RuntimeError) as raised:
        await fail()
    assert raised.value is error
    assert raised.value.__cause__ is cause


async def test_a_hook_that_fails_ends_the_subscription(comet: Comet) -> None:
    """A bug in the application is not hidden."""

    def fail(event: Event) -> None:
        raise LookupError("hook")

    async def listen() -> None:
        async with subscribe("u1@user", server=comet.url, on_event=fail) as messages:
            await comet.accept_welcome()
            await anext(messages)

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        await listen()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"key": "", "server": "ws://a"}, "key"),
        ({"key": "k"}, "web: got None"),
        ({"key": "k", "web": "127.0.0.1:8090"}, "web: got '127.0.0.1:8090'"),
        ({"key": "k", "server": "http://a"}, "server: got 'http://a'"),
        ({"key": "k", "server": "ws://a", "heartbeat": 29}, "heartbeat: got 29"),
        ({"key": "k", "server": "ws://a", "queue": 0}, "queue: got 0"),
        ({"key": "k", "server": "ws://a", "mid": -1}, "mid: got -1"),
    ],
)
async def test_wrong_arguments_are_told_at_once(arguments: dict[str, object], told: str) -> None:
    """By name, value and what was expected; no connection is made."""
    with pytest.raises(ValueError, match=told):
        async with subscribe(**arguments):  # type: ignore[arg-type]  # wrong on purpose
            pytest.fail("it began")

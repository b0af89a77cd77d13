"""Version 2.2 on a socket: its frames byte for byte, one message in flight, and none of its storms and leaks."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import trio
from trio.testing import MockClock

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush import Sender, device_key, read_body
from appmodel.core.mpush_auth import Bearer, MpushAuth
from appmodel.core.mpush_keys import open_vapid, public_text
from appmodel.core.mpush_steps import Step, step
from appmodel.core.mpush_stores import ReceiverKind
from appmodel.core.mpush_tokens import Right, issue
from appmodel.errors import NotStored
from appmodel.io.database import Database
from tests.comet.devices import (
    AUTH_KEY,
    NEED_AUTH,
    PACED,
    TOKEN,
    TOKEN_INVALID,
    Phone,
    Place,
    client_frame,
    open_mpush,
)
from tests.comet.world import LIMIT, pass_time

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    async with open_mpush(database) as place:
        yield place


FROM: dict[str, Any] = {"from": {"method": "websocket", "name": "n"}}


async def v2(place: Place, name: str = "test", group: str = "", comet: str = "a") -> Phone:
    """A device that is logged in by version 2.2."""
    phone = await place.phone(comet)
    assert (await phone.auth(name, group))["code"] == 200
    return phone


def command(cmd: str, **data: object) -> bytes:
    """Its frame."""
    return client_frame(json.dumps({"cmd": cmd, "data": data}))


async def mid_of_next(phone: Phone) -> str:
    """The mid of the next message."""
    found: str = (await phone.packet("MESSAGE"))["mid"]
    return found


async def test_auth_is_answered_byte_for_byte(place: Place) -> None:
    """With a signed text that has an end and a key of its own, not the token."""
    phone = await place.phone()

    await phone.tell("AUTH", token="mpush", name="test", group="g")

    text, keys = await phone.hears(), await place.books.keys.public()
    found = json.loads(text)
    auth = found["data"]["auth"]
    assert text == (
        '{"cmd":"AUTH","data":{"code":200,"auth":"' + auth + '","msg":"Successful authentication",'
        '"webpushPublicKey":"'
        + keys.webpush
        + '","fcmProjectId":"","fcmApplicationId":"","fcmApiKey":""}}'
    )
    now = place.world().now()
    assert MpushAuth(AUTH_KEY, ttl=1).check(auth, now=now) == Bearer("test", "g")
    claims = jwt.decode(auth, options={"verify_signature": False})
    assert {"name", "group", "iat", "exp"} < claims.keys()


async def test_a_message_is_written_byte_for_byte(place: Place) -> None:
    """Title and content are text and desp; who sent it and to whom is shown as it was pushed."""
    phone = await v2(place)

    first = await place.push("test", title="t", content="c")
    assert await phone.hears() == (
        '{"cmd":"MESSAGE","data":{"sendType":"personal","target":"test","from":{"method":"http","name":"anonymous"},'
        '"message":{"text":"t","desp":"c","extra":{}},"mid":"' + first + '"}}'
    )
    await phone.tell("MESSAGE_CALLBACK", mid=first)
    await place.push(
        "test",
        content="d",
        extra={"scheme": "x:"},
        sendType="group",
        target="g",
        priority=3,
        tags=["a"],
        click="http://c/",
        **FROM,
    )

    found = await phone.packet("MESSAGE")
    assert (found["sendType"], found["target"]) == ("group", "g")
    assert found["from"] == {"method": "websocket", "name": "n"}
    assert found["message"] == {
        "text": "",
        "desp": "d",
        "extra": {"scheme": "x:"},
        "priority": 3,
        "tags": ["a"],
        "click": "http://c/",
    }


async def test_nothing_is_done_before_auth(place: Place) -> None:
    """Any command is answered 401, a wrong token 403, and the next AUTH may succeed; no message comes before it."""
    await (await v2(place)).stream.aclose()
    mid = await place.push("test")
    phone = await place.phone()

    for cmd in ("PING", "UNREGISTER"):
        await phone.tell(cmd)
        assert await phone.hears() == NEED_AUTH
    await phone.tell("AUTH", token="wrong", name="test")
    assert await phone.hears() == TOKEN_INVALID
    assert (await phone.auth("test"))["code"] == 200

    assert await mid_of_next(phone) == mid


BROWSER = {"p256dh": public_text(open_vapid("A" * 42 + "E")), "auth": "A" * 22}


def subscribing(endpoint: str, **keys: str) -> str:
    """REGISTER_WEBPUSH with keys of a browser, but for these."""
    return json.dumps(
        {"cmd": "REGISTER_WEBPUSH", "data": {"endpoint": endpoint, "keys": BROWSER | keys}}
    )


COMPLAINTS = [
    ("ping", "not JSON: ping"),
    ('{"cmd":"AUTH","data":{"token":"mpush"}}', "name property is required"),
    (
        '{"cmd":"MESSAGE","data":{"sendType":"personal","message":{}}}',
        "target property is required",
    ),
    (
        '{"cmd":"MESSAGE","data":{"sendType":"all","target":"x"}}',
        "sendType property must 'personal' or 'group'",
    ),
    ('{"cmd":"MESSAGE_CALLBACK","data":{}}', "mid property is required"),
    ('{"cmd":"NOPE"}', "Unknow cmd: NOPE"),
    ("{}", "Unknow cmd: undefined"),
    ("[1]", "Unknow cmd: undefined"),
    ("null", "Unknow cmd: undefined"),
    ('{"cmd":"REGISTER_WEBPUSH","data":{"endpoint":"https://x/"}}', "keys property is required"),
    (
        '{"cmd":"REGISTER_WEBPUSH","data":{"endpoint":"ftp://x","keys":{"p256dh":"p","auth":"a"}}}',
        "endpoint property must be an https URL of at most 4096 characters",
    ),
    (
        subscribing("https://push.example/1", auth="AAAA"),
        "keys.auth: got '********', expected 16 bytes in base64url",
    ),
    (
        subscribing("https://push.example/1", p256dh="A" * 86 + "A"),
        "keys.p256dh: got '********', expected a point of P-256",
    ),
    (
        subscribing("https://push.example/ 1"),
        (
            "endpoint: got 'https://push', expected an absolute http or https URL in ASCII, "
            "without user name and fragment, of at most 4096 characters"
        ),
    ),
    (
        subscribing("https://10.0.0.5/1"),
        "endpoint: got '10.0.0.5', expected a public address, or an allowed one, not 10.0.0.5",
    ),
    ('{"cmd":"REGISTER_FCM","data":{"token":"t"}}', "fcm: not configured on this server"),
]


@pytest.mark.parametrize(("text", "complaint"), COMPLAINTS)
async def test_what_is_wrong_is_said_and_ends_nothing(
    place: Place, text: str, complaint: str
) -> None:
    """INFO with the original's words; the connection stays."""
    phone = await v2(place)

    await phone.say(text)

    assert await phone.packet("INFO") == complaint
    await phone.tell("PING")
    assert await phone.hears() == '{"cmd":"PONG","data":""}'


async def test_a_binary_frame_has_no_command(place: Place) -> None:
    """As the original says it."""
    phone = await v2(place)

    await phone.say(b'{"cmd":"PING"}', opcode=0x2)

    assert await phone.packet("INFO") == "Unknow cmd: undefined"


async def test_one_message_is_in_flight_and_only_its_ack_counts(place: Place) -> None:
    """Stale, double and foreign acks change nothing: no message comes twice, the original's storm is none here."""
    phone = await v2(place)
    mids = [await place.push("test") for _ in range(5)]

    for at, mid in enumerate(mids):
        assert await mid_of_next(phone) == mid
        for stray in (mids[at - 1], mids[(at + 1) % 5], "1", "x", "0000000000000"):
            await phone.tell("MESSAGE_CALLBACK", mid=stray) if stray != mid else None
        await phone.tell("PING")
        assert await phone.hears() == '{"cmd":"PONG","data":""}'
        await phone.tell("MESSAGE_CALLBACK", mid=mid)
        await phone.tell("MESSAGE_CALLBACK", mid=mid)
        assert await place.is_acked("test", mid)

    assert place.served["a"].counts.sent == 5


async def test_the_head_comes_again_until_its_ack(
    database: Database, mock_clock: MockClock
) -> None:
    """And nothing behind it; with growing patience."""
    async with open_mpush(database, config=PACED) as place:
        phone = await v2(place)
        head, second = [await place.push("test") for _ in range(2)]

        await pass_time(mock_clock, 30)
        assert [await mid_of_next(phone) for _ in range(4)] == [head] * 4
        await phone.tell("MESSAGE_CALLBACK", mid=head)

        assert await mid_of_next(phone) == second


async def test_a_message_reaches_whom_it_names(place: Place) -> None:
    """Device or group; the answer says for each what became of it, and comes when all have it."""
    anna, bert = await v2(place, "anna", "family"), await v2(place, "bert", "family")

    await anna.tell(
        "MESSAGE",
        sendType="personal",
        target="bert",
        message={"text": "t", "desp": 5, "extra": [1]},
    )
    found = await bert.packet("MESSAGE")
    assert found["from"] == {"method": "websocket", "name": "anna"}
    assert found["message"] == {"text": "t", "desp": "5", "extra": {}}
    await bert.tell("MESSAGE_CALLBACK", mid=found["mid"])

    assert await anna.packet("MESSAGE_REPLY") == {"mid": found["mid"], "status": {"bert": "ok"}}
    await bert.tell("MESSAGE", sendType="group", target="family", message={"text": "all"})
    for one in (anna, bert):
        found = await one.packet("MESSAGE")
        assert (found["sendType"], found["target"]) == ("group", "family")
        await one.tell("MESSAGE_CALLBACK", mid=found["mid"])
    status = (await bert.packet("MESSAGE_REPLY"))["status"]
    assert status == {"anna": "ok", "bert": "ok"}


async def test_who_gets_copies_is_told_of_a_push(place: Place) -> None:
    """Receivers beside the socket are due from then on."""
    phone = await v2(place)
    await phone.tell("REGISTER_WEBPUSH", endpoint="https://push.example/1", keys=BROWSER)

    await phone.tell("MESSAGE", sendType="personal", target="test", message={"text": "x"})
    mid = await mid_of_next(phone)
    await phone.tell("MESSAGE_CALLBACK", mid=mid)
    await phone.packet("MESSAGE_REPLY")

    now = round(place.world().now() * 1000)
    [errand] = await place.books.receivers.claim(now=now + 1000, lease=1000, limit=9)
    assert errand.wanted == int(mid) * 1000


async def test_what_nobody_acknowledges_is_answered_after_a_while(
    database: Database, mock_clock: MockClock
) -> None:
    """`wait` for who was sent it, `ready` for who is away, `no` and nobody at once."""
    async with open_mpush(database) as place:
        phone = await v2(place, "test", "g")
        await v2(place, "here", "g")
        await place.books.devices.register("away", group="g", now=0)

        await phone.tell("MESSAGE", sendType="personal", target="nobody", message={"text": "x"})
        assert await phone.packet("MESSAGE_REPLY") == {"mid": "", "status": {"nobody": "no"}}
        await phone.tell("MESSAGE", sendType="group", target="empty", message={"text": "x"})
        assert await phone.packet("MESSAGE_REPLY") == {"mid": "", "status": {}}
        await phone.tell("MESSAGE", sendType="group", target="g", message={"text": "x"})
        await phone.packet("MESSAGE")
        await pass_time(mock_clock, 5.1)

        while (packet := json.loads(await phone.hears()))["cmd"] == "MESSAGE":
            pass  # it comes again: nobody acknowledges
        assert packet["data"]["status"] == {"test": "wait", "here": "wait", "away": "ready"}


async def test_a_copy_by_web_push_has_a_word(database: Database, mock_clock: MockClock) -> None:
    """Until the socket acknowledges; that the browser has it is heard on any comet, and no acknowledgement."""
    async with open_mpush(database, "a", "b") as place:
        phone, other = await v2(place), await v2(place, "other", comet="b")
        await phone.tell("REGISTER_WEBPUSH", endpoint="https://push.example/1", keys=BROWSER)
        while not await place.books.receivers.of(["test"]):
            await trio.lowlevel.checkpoint()
        words: list[str] = []
        for shown in (False, True):
            text = {"text": f"shown: {shown}"}
            await other.tell("MESSAGE", sendType="personal", target="test", message=text)
            mid = await mid_of_next(phone)
            if shown:
                await phone.tell("MESSAGE_WEBPUSH_CALLBACK", mid=mid)
                asked = step("test", Step.WEBPUSH_SHOWN, int(mid) * 1000)
                assert await place.waits["b"].wait([asked], 4) == (True,)
            await pass_time(mock_clock, 5.1)
            words += (await other.packet("MESSAGE_REPLY"))["status"].values()
            await phone.tell("MESSAGE_CALLBACK", mid=mid)

    assert words == ["webpush-wait", "webpush-ok"]


async def test_a_push_needs_the_right_to_push(place: Place) -> None:
    """A device's token lets it connect; who may publish is said by the token, device by device."""
    world = place.world()
    await v2(place, "anna", "family")
    rights = {Right.CONNECT, Right.PUBLISH}
    token, _ = issue(world.credentials, rights, ["bert", "carl"], now=world.now(), ttl=60)
    phone = await place.phone()
    assert (await phone.auth("bert", "family", token))["code"] == 403  # its group is not covered
    assert (await phone.auth("bert", "", token))["code"] == 200

    await phone.tell("MESSAGE", sendType="personal", target="anna", message={"text": "x"})
    assert "does not allow to publish 'anna'" in await phone.packet("INFO")
    await phone.tell("MESSAGE", sendType="group", target="carl", message={"text": "x"})
    assert "does not allow to publish 'carl.group'" in await phone.packet("INFO")
    await phone.tell("MESSAGE", sendType="personal", target="carl", message={"text": "x"})

    assert (await phone.packet("MESSAGE_REPLY"))["status"] == {"carl": "no"}


async def test_too_many_pushes_at_once_are_refused(place: Place) -> None:
    """Those that wait for their answers are bounded; the others go on."""
    phone = await v2(place)
    await place.books.devices.register("away", group=None, now=0)

    for _ in range(17):
        await phone.tell("MESSAGE", sendType="personal", target="away", message={"text": "x"})

    assert "at most 16" in await phone.packet("INFO")


async def test_a_store_that_is_away_is_said(place: Place) -> None:
    """The pusher hears that nothing was kept; the connection stays."""
    phone = await v2(place)

    async def away(*_: object, **__: object) -> None:
        raise NotStored("the store is away")

    place.world().store.save = away  # type: ignore[method-assign, assignment]
    await phone.tell("MESSAGE", sendType="personal", target="test", message={"text": "x"})

    assert await phone.packet("INFO") == "the store is away"


async def test_a_second_auth_makes_the_connection_that_of_its_device(place: Place) -> None:
    """Of the same name it stays open (the original closes it); of another name it leaves the first."""
    phone = await v2(place)
    mid = await place.push("test")
    assert await mid_of_next(phone) == mid

    assert (await phone.auth("test"))["code"] == 200
    assert await mid_of_next(phone) == mid
    assert (await phone.auth("other"))["code"] == 200

    assert (await place.delivery("test")).online == (0,)
    second = await place.push("other")
    assert await mid_of_next(phone) == second


async def test_a_push_is_from_whoever_it_was_when_it_said_so(place: Place) -> None:
    """Also when the same bytes make the connection another device's: tasks begin in any order."""
    watcher = await place.device("watcher")
    phone = await place.phone()
    push = command("MESSAGE", sendType="personal", target="watcher", message={"text": "hello"})
    log_in = command("AUTH", token=TOKEN, name="other")

    for turn in range(10):
        await phone.auth(f"me-{turn}")
        await phone.send(push + log_in)
        assert (await phone.packet("AUTH"))["code"] == 200
        mid = await watcher.mids(1)
        await watcher.acks(*mid)
        assert (await phone.packet("MESSAGE_REPLY"))["status"] == {"watcher": "ok"}

    page = await place.world().store.fetch(device_key("watcher"), 0, limit=20)
    senders = [read_body(stored.body).sender for stored in page.messages]
    assert senders == [Sender("websocket", f"me-{turn}") for turn in range(10)]


async def test_a_group_is_that_of_the_latest_login(place: Place) -> None:
    """Who comes without one is in none; the seed version leaves it as it is."""
    await v2(place, "test", "g")
    await place.device("test")
    assert await place.books.devices.members("g", limit=9) == ["test"]

    await v2(place, "test")

    assert await place.books.devices.members("g", limit=9) == []


async def test_both_versions_are_one_device(place: Place) -> None:
    """The newest connection has it, whatever it speaks."""
    seed = await place.device("test")
    phone = await v2(place)

    assert await seed.ends() == b""
    mid = await place.push("test", title="t")
    assert (await phone.packet("MESSAGE"))["mid"] == mid
    again = await place.device("test")

    assert await phone.ends() == b""
    assert await again.mids(1) == [mid]


async def test_a_browser_registers_for_web_push(place: Place) -> None:
    """Its subscription is kept for who sends copies; only what is pushed later is copied."""
    phone = await v2(place)

    await phone.tell("REGISTER_WEBPUSH", endpoint="https://push.example/1", keys=BROWSER)
    await phone.tell("PING")
    await phone.packet("PONG")

    [found] = (await place.books.receivers.of(["test"]))["test"]
    assert (found.kind, found.address) == (ReceiverKind.WEBPUSH, "https://push.example/1")
    assert json.loads(str(found.secrets)) == BROWSER
    assert isinstance(found.secrets, Hidden)


async def test_unregister_forgets_the_device_and_its_messages(place: Place) -> None:
    """It is nobody then, and who takes the name later gets nothing of it."""
    phone = await v2(place)
    await place.push("test")
    await phone.packet("MESSAGE")

    await phone.tell("UNREGISTER")

    assert await phone.ends() == b""
    assert await place.books.devices.find(["test"]) == {}
    again = await v2(place)
    await again.tell("PING")
    await again.packet("PONG")


@pytest.mark.parametrize("name", [5, True, ["a", "b"], "a@mpush"])
async def test_names_are_texts_as_javascript_has_them(place: Place, name: object) -> None:
    """String(name), as in the original."""
    phone = await place.phone()

    await phone.tell("AUTH", token="mpush", name=name)
    await phone.packet("AUTH")

    text = {True: "true"}.get(name is True, ",".join(name) if isinstance(name, list) else str(name))
    assert list(await place.books.devices.find([text])) == [text]


async def test_an_auth_of_a_name_that_none_can_have_is_told(place: Place) -> None:
    """INFO, and the next may succeed."""
    phone = await place.phone()

    await phone.tell("AUTH", token="mpush", name="a\nb")

    with trio.fail_after(LIMIT):
        assert "printable" in await phone.packet("INFO")
    assert (await phone.auth("ab"))["code"] == 200

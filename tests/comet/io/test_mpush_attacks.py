"""Hostile strangers and hostile holders of tokens, at a comet: they cost themselves something, and nobody else."""

import json
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.mpush_tokens import Right, issue
from appmodel.errors import Forbidden
from appmodel.io.database import Database
from comet.config import MpushConfig
from comet.io.mpush_session import GREETING
from comet.mpush import origins_of
from tests.comet.devices import AUTHENTICATED, PACED, TOKEN_INVALID, Phone, Place, open_mpush
from tests.comet.world import pass_time

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
LIMIT = 30  # wrong tokens of one address in a minute: see tests/comet/devices.py


@pytest.fixture
async def place(database: Database, mock_clock: MockClock) -> AsyncIterator[Place]:
    async with open_mpush(database, config=PACED) as place:
        yield place


async def guess(phone: Phone, times: int) -> None:
    """So many wrong tokens, each answered."""
    for number in range(times):
        await phone.say(f"guess {number}")
    for _ in range(times):
        assert await phone.hears() == TOKEN_INVALID


def stranger(number: int) -> str:
    """The header of somebody behind a proxy."""
    return f"X-Forwarded-For: 203.0.113.{number}\r\n"


@ON_SQLITE
async def test_who_guesses_gets_his_answers_later(place: Place, mock_clock: MockClock) -> None:
    """The connection stays, as the original's; also a right token has to wait there, in both versions."""
    phone, other = await place.phone(), await place.phone()
    await guess(phone, LIMIT)

    await phone.say("mpush")
    await other.tell("AUTH", token="mpush", name="other")
    await wait_all_tasks_blocked(0.05)
    assert [session.device for session in place.served["a"].sessions] == ["", ""]

    await pass_time(mock_clock, 5)
    assert await phone.hears() == AUTHENTICATED
    assert (await other.packet("AUTH"))["code"] == 200


@ON_SQLITE
async def test_others_do_not_wait_for_who_guesses(place: Place) -> None:
    """Another address behind the same proxy; and who was right before, from the same address."""
    await (await place.phone(more=stranger(1))).log_in("known")
    await guess(await place.phone(more=stranger(1)), LIMIT)

    await (await place.phone(more=stranger(2))).log_in("elsewhere")
    await (await place.phone(more=stranger(1))).log_in("neighbour")

    assert place.served["a"].tries.slowed == 0


@ON_SQLITE
async def test_who_guesses_has_thirty_seconds_and_is_forgotten(
    place: Place, mock_clock: MockClock
) -> None:
    """However many texts wait: nothing of it stays."""
    phones = [await place.phone() for _ in range(3)]
    await guess(phones[0], LIMIT)
    for phone in phones:
        for number in range(50):
            await phone.say(f"{number}")

    await pass_time(mock_clock, 31)

    served = place.served["a"]
    assert not any(session.is_open for session in served.sessions)
    while served.sessions:
        await pass_time(mock_clock, 1)
    assert served.tries.wrong <= LIMIT + 16  # one in two seconds


@ON_SQLITE
async def test_two_holders_of_one_name_do_not_spin(place: Place, mock_clock: MockClock) -> None:
    """Each comes back at once when it is ousted: twenty times quickly, then once a second; the newest has it."""
    served = place.served["a"]

    async def fights() -> None:
        while True:
            phone = await place.phone()
            await phone.say("mpush")
            await phone.say("test")
            while (await phone.frame())[0] == 1:
                pass

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(fights)
        ousted = "another connection has its client id"
        while served.counts.ended[ousted] < 19:  # the pace is by the clock, which stands still
            await wait_all_tasks_blocked(0.01)
        await wait_all_tasks_blocked(0.1)
        assert served.counts.ended[ousted] == 19

        await pass_time(mock_clock, 5)
        assert 20 <= served.counts.ended[ousted] <= 26
        assert served.devices == 1
        nursery.cancel_scope.cancel()


@ON_SQLITE
async def test_what_waits_for_a_stranger_is_bounded(database: Database) -> None:
    """In bytes, too: of one text, and of those that wait while he does."""
    async with open_mpush(database) as place:
        large, patient = await place.phone(), await place.phone()
        await large.say("x" * (GREETING + 1))
        assert (await large.ends())[:2] == (1009).to_bytes(2, "big")

        await guess(patient, LIMIT)
        for _ in range(6):
            await patient.say("x" * GREETING)

        assert await patient.ends() == b""


@ON_SQLITE
async def test_a_stranger_who_does_not_read_is_let_go(database: Database) -> None:
    """Nothing is kept for him but the answers to what was read at once."""
    async with open_mpush(database) as place:
        phone = await place.phone()
        [session] = place.served["a"].sessions

        with trio.move_on_after(30) as patience:
            while session.is_open:
                with trio.move_on_after(0.05):
                    await phone.send(b"\x89\xfe\0\x7d\0\0\0\0" + b"p" * 125)  # a ping

        assert not patience.cancelled_caught


@ON_SQLITE
async def test_a_token_that_is_over_ends_its_connection(
    place: Place, mock_clock: MockClock
) -> None:
    """As soon as somebody looks, which is within a minute."""
    world = place.world()
    token, _ = issue(world.credentials, [Right.CONNECT], ["pi"], now=world.now(), ttl=100)
    phone = await (await place.phone()).log_in("pi", token)

    await pass_time(mock_clock, 90)
    assert place.served["a"].devices == 1
    await pass_time(mock_clock, 12)

    assert place.served["a"].devices == 0
    await phone.ends()


@ON_SQLITE
async def test_nobody_acknowledges_what_is_another_devices(database: Database) -> None:
    """The same mid at two devices: each acknowledges its own."""
    async with open_mpush(database) as place:
        ann, bob = await place.device("ann"), await place.device("bob")
        mid = await place.push("ann", "bob")
        assert await ann.mids(1) == await bob.mids(1) == [mid]

        await bob.acks(mid)

        assert await place.is_acked("bob", mid)
        assert not await place.is_acked("ann", mid, seconds=0)
        await ann.acks(mid)
        assert await place.is_acked("ann", mid)


@ON_SQLITE
async def test_nobody_pushes_in_the_name_of_another(database: Database) -> None:
    """What a device of version 2.2 says of itself in a push does not count."""
    async with open_mpush(database) as place:
        eve, ann = await place.phone(), await place.phone()
        await eve.auth("eve")
        await ann.auth("ann")

        said = {"method": "http", "name": "root"}
        message = {"text": "x", "from": said, "name": "root"}
        await eve.say(
            json.dumps(
                {
                    "cmd": "MESSAGE",
                    "from": said,
                    "auth": {"name": "root"},
                    "data": {
                        "sendType": "personal",
                        "target": "ann",
                        "from": said,
                        "message": message,
                    },
                }
            )
        )

        assert (await ann.packet("MESSAGE"))["from"] == {"method": "websocket", "name": "eve"}


@ON_SQLITE
@pytest.mark.parametrize("link", ["javascript:alert(1)", "JavaScript:x", "data:text/html,x", "no"])
async def test_a_link_that_runs_is_refused(database: Database, link: str) -> None:
    """Over the WebSocket as over HTTP; and what an answer shows of a broken AUTH has no token in it."""
    async with open_mpush(database) as place:
        phone = await place.phone()
        await phone.auth("ann")

        message = {"text": "x", "click": link}
        await phone.tell("MESSAGE", sendType="personal", target="ann", message=message)
        assert "click" in await phone.packet("INFO")
        await phone.say('{"cmd":"AUTH","data":{"token":"secret-word"')
        assert "secret-word" not in await phone.packet("INFO")


def test_what_everybody_knows_opens_to_no_page_of_another_site() -> None:
    """With the well-known token "*" is loopback and who is listed; with one of one's own it is anybody."""
    page = {"host": "127.0.0.1:2245", "origin": "https://evil.example"}
    ours = {"host": "127.0.0.1:2245", "origin": "http://127.0.0.1:8094"}

    for origin in ("https://evil.example", "null", "file://"):
        with pytest.raises(Forbidden):
            origins_of(MpushConfig(), "mpush").check(page | {"origin": origin})
    origins_of(MpushConfig(), "mpush").check(ours)
    origins_of(MpushConfig(origins=("*", "https://evil.example")), "mpush").check(page)
    origins_of(MpushConfig(), "a token of one's own").check(page)

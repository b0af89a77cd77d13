"""Hostile strangers, pages and holders of tokens, at the HTTP side of Mpush."""

import json
import time
from typing import Any

import trio

from appmodel.core.mpush_tokens import Right, issue
from appmodel.core.revocations import token_subject
from tests.web.api.test_mpush_reads import reading
from tests.web.mpush_desk import Desk, open_desk
from tests.web.world import LIMIT, Answer

WRONG = 30  # tokens of one address in a minute


def issued(desk: Desk, rights: list[Right], *names: str) -> tuple[str, str]:
    """A token and its id."""
    credentials = desk.world.context.credentials
    text, grant = issue(credentials, rights, names, now=time.time(), ttl=60)
    return text, grant.id


async def ask_from(desk: Desk, address: int, token: str) -> Answer:
    """Somebody behind the proxy."""
    headers = {"X-Forwarded-For": f"203.0.113.{address}", "Authorization": token}
    return await desk.ask("GET", "/phone/json?poll=1", headers=headers)


async def command(desk: Desk, cmd: str, *, auth: object = None, **data: Any) -> Answer:
    """By version 2.2."""
    packet = {"cmd": cmd, "data": data} | ({} if auth is None else {"auth": auth})
    return await desk.ask("POST", "/", json.dumps(packet).encode())


async def test_who_guesses_tokens_is_told_to_wait() -> None:
    """At his address; who was right before goes on, and so do other addresses."""
    async with open_desk("phone", auth="on") as desk:
        own, _ = issued(desk, [Right.READ], "phone")
        assert (await ask_from(desk, 1, own)).status == 200

        said = [(await ask_from(desk, 1, f"guess {number}")).status for number in range(WRONG)]
        slowed = await ask_from(desk, 1, "mpush")
        known, elsewhere = await ask_from(desk, 1, own), await ask_from(desk, 2, "mpush")
        none = await ask_from(desk, 1, "")

    assert said == [401] * WRONG
    assert (slowed.status, known.status, elsewhere.status, none.status) == (429, 200, 200, 401)
    assert slowed.body == b"token: too often; try again in 2 s\n"
    assert slowed.headers["retry-after"] == "2"


async def test_a_login_by_command_is_a_guess_as_well() -> None:
    """AUTH with a wrong token is counted with the others."""
    async with open_desk("phone") as desk:
        wrong = [await command(desk, "AUTH", token=str(n), name="phone") for n in range(WRONG)]
        slowed = await command(desk, "AUTH", token="mpush", name="phone")

    assert {answer.json()["data"]["code"] for answer in wrong} == {403}
    assert slowed.status == 429


async def test_a_stream_does_not_wait_for_its_beat_to_end_with_its_token() -> None:
    """The default beat is far longer than the patience here."""
    async with open_desk("phone", auth="on") as desk:
        token, token_id = issued(desk, [Right.READ], "phone")
        async with (
            reading(desk.world.mpush, f"/phone/sse?token={token}") as stream,
            reading(desk.world.mpush, "/phone/json?token=mpush") as other,
        ):
            await stream.until(b"\n\n\r\n")
            await other.until(b"\r\n1\r\n\n")
            await desk.world.revoke(token_subject(token_id))
            await stream.until(b"\r\n0\r\n\r\n")
            await desk.ask("GET", "/phone?title=later&token=mpush")
            await other.until(b"later")

    assert b"later" not in stream.seen


async def test_what_a_login_gave_is_void_with_its_token() -> None:
    """Nobody acknowledges by an `auth` whose token is revoked."""
    async with open_desk("phone", auth="on") as desk:
        token, token_id = issued(desk, [Right.CONNECT], "phone")
        auth = (await command(desk, "AUTH", token=token, name="phone")).json()["data"]["auth"]
        kept = (await command(desk, "AUTH", token="mpush", name="phone")).json()["data"]["auth"]
        done = {"mid": "1557901952810"}
        before = await command(desk, "MESSAGE_CALLBACK", auth=auth, **done)

        await desk.world.revoke(token_subject(token_id))
        with trio.fail_after(LIMIT):
            while (await command(desk, "MESSAGE_CALLBACK", auth=auth, **done)).status != 401:
                pass  # the node asks for what is revoked once a second
        other = await command(desk, "MESSAGE_CALLBACK", auth=kept, **done)

    assert (before.status, other.status) == (200, 200)


async def test_who_says_that_he_is_somebody_is_not_believed() -> None:
    """The original takes a plain object for a proof (12, 13)."""
    async with open_desk("phone") as desk:
        message = {"sendType": "personal", "target": "phone", "message": {"text": "x"}}
        for auth in ({"name": "root"}, ["root"], "root", "e30.e30.e30", 1, True):
            refused = await command(desk, "MESSAGE", auth=auth, **message)
            assert refused.status == 401

        assert await desk.kept("phone") == []


async def test_the_sender_is_never_a_field() -> None:
    """Whatever is said of it in a path, a form or a command."""
    async with open_desk("phone", wait=0.01) as desk:
        said = {"method": "websocket", "name": "root"}
        await desk.ask("GET", "/phone.send?text=t&from=root&sender=root&name=root")
        await desk.ask("POST", "/phone.send", json.dumps({"text": "t", "from": said}).encode())
        message = {"text": "t", "from": said}
        data = {"sendType": "personal", "target": "phone", "message": message, "from": said}
        await command(desk, "MESSAGE", **data)
        refused = await desk.ask("GET", "/phone?title=t&from=root")
        kept = await desk.kept("phone")

    assert refused.status == 400
    assert [each.sender and each.sender.name for each in kept] == ["anonymous"] * 3


async def test_nobody_is_led_to_push() -> None:
    """A page of another site leads a browser to a node at home: nothing is pushed; who reads may follow a link."""
    async with open_desk("phone") as desk:
        led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}

        refused = await desk.ask("GET", "/phone?title=t", headers=led)
        read = await desk.ask("GET", "/phone/json?poll=1", headers=led)
        own = await desk.ask("GET", "/phone?title=t", headers=typed)

        assert (refused.status, read.status, own.status) == (403, 200, 200)
        assert len(await desk.kept("phone")) == 1


async def test_no_message_breaks_out_of_its_event() -> None:
    """Whatever lines are in it: one event, one line of data, one id."""
    async with open_desk("phone", wait=0.01) as desk:
        evil = "a%0A%0Aid:+1%0Adata:+evil%0D%0A%0D%0Aevent:+x%0Ddata:+y%E2%80%A8z"
        for path in (f"/phone?title={evil}&content={evil}", f"/phone.send?text={evil}&x={evil}"):
            await desk.ask("GET", path)
        async with reading(desk.world.mpush, "/phone/sse?since=all") as stream:
            await stream.until(b'"from"')
            seen = (await stream.until(b"\n\n\r\n")).partition(b"\r\n\r\n")[2]

    lines = [line for line in seen.replace(b"\r\n", b"\n").split(b"\n") if b":" in line]
    assert [line.partition(b":")[0] for line in lines] == [b"id", b"data"] * 2
    assert b"\r" not in seen.replace(b"\r\n", b"")


async def test_no_refusal_repeats_a_token() -> None:
    """Given twice, in a body that is none, beside a wrong field, or in a broken command."""
    secret = "secret-word"
    async with open_desk("phone", auth="on") as desk:
        bodies = [
            ("/phone?title=x", f'{{"token":"{secret}",'.encode()),
            ("/phone?title=x", json.dumps({"token": [secret]}).encode()),
            ("/phone?title=x", json.dumps({"token": {"a": secret}}).encode()),
            (f"/phone?token={secret}&token={secret}", b""),
            (f"/phone?token={secret}&color=red", b""),
            ("/", json.dumps({"cmd": "AUTH", "data": {"token": secret, "name": ""}}).encode()),
            ("/", f'{{"cmd":"AUTH","data":{{"token":"{secret}"'.encode()),
        ]
        for headers in ({}, {"Content-Type": "application/json"}):
            for target, body in bodies:
                answer = await desk.ask("POST", target, body, headers=headers)
                assert answer.status in (200, 400, 401), answer
                assert secret.encode() not in answer.body


async def test_one_device_does_not_take_all_places_of_readers() -> None:
    """Its own are bounded."""
    async with open_desk("phone", "tablet", readers_of_one=1) as desk:
        mpush = desk.world.mpush
        async with reading(mpush, "/phone/json") as stream, reading(mpush, "/tablet/json") as other:
            await stream.until(b"200 OK")
            refused = await desk.ask("GET", "/phone/sse")
            await other.until(b"200 OK")

    assert refused.status == 429
    assert refused.body.startswith(b"readers_of_one: 1 ")


async def test_what_is_delayed_for_a_group_can_be_seen_and_taken_back() -> None:
    """By its name as it is pushed to; of a device of the same name there is nothing."""
    async with open_desk("team") as desk:
        said = (await desk.ask("GET", "/team.group?text=t&delay=10m")).body.decode()
        delayed_id = said.split()[1]
        listed = (await desk.ask("GET", "/team.group/delayed")).json()

        assert [each["message"]["title"] for each in listed["delayed"]] == ["t"]
        assert listed["more"] is False
        assert (await desk.ask("GET", "/team/delayed")).json()["delayed"] == []
        assert (await desk.ask("DELETE", f"/team/delayed/{delayed_id}")).status == 404
        assert (await desk.ask("DELETE", f"/team.group/delayed/{delayed_id}")).body == b"ok\n"
        assert (await desk.ask("GET", "/team.group/delayed")).json()["delayed"] == []


async def test_a_token_for_a_group_is_asked_for() -> None:
    """To read what is delayed for it, and to take it back: each its own right."""
    async with open_desk("phone", auth="on") as desk:
        reads, _ = issued(desk, [Right.READ], "team.group")
        pushes, _ = issued(desk, [Right.PUBLISH], "team.group")
        other, _ = issued(desk, [Right.PUBLISH, Right.READ], "other.group", "team")
        said = await desk.ask("GET", f"/team.group?text=t&delay=10m&token={pushes}")
        path = f"/team.group/delayed/{said.body.decode().split()[1]}"

        def status(method: str, target: str, token: str) -> Any:
            return desk.ask(method, f"{target}?token={token}")

        for token, expected in ((reads, 200), (pushes, 403), (other, 403)):
            assert (await status("GET", "/team.group/delayed", token)).status == expected
        for token, expected in ((reads, 403), (other, 403), (pushes, 200)):
            assert (await status("DELETE", path, token)).status == expected


async def test_a_flood_of_delays_is_listed_in_pieces() -> None:
    """Each may be as large as a message; the next piece begins where this one ended."""
    async with open_desk("phone") as desk:
        start = round(time.time()) + 600
        for number in range(101):
            await desk.ask("GET", f"/phone?title={number}&at={start + number}")

        first = (await desk.ask("GET", "/phone/delayed")).json()
        rest = await desk.ask("GET", f"/phone/delayed?since={first['delayed'][-1]['due'] + 1}")
        wrong = await desk.ask("GET", "/phone/delayed?since=yesterday")

    assert (len(first["delayed"]), first["more"]) == (100, True)
    assert [each["message"]["title"] for each in rest.json()["delayed"]] == ["100"]
    assert wrong.status == 400
    assert wrong.body.startswith(b"since: ")

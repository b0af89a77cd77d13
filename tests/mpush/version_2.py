"""Version 2.2 (spec 11.2 to 11.7): its dialogues on the wire, over WebSocket and HTTP, without its bugs."""

import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from tests.comet.devices import NEED_AUTH, TOKEN, TOKEN_INVALID
from tests.mpush.world import JSON, World

PONG = '{"cmd":"PONG","data":""}'


def text(text: str, **extra: Any) -> dict[str, Any]:
    """A message that a MESSAGE carries."""
    return {"text": text, "desp": "d", "extra": extra}


class Version2:
    """The suite."""

    async def test_auth_opens_and_nothing_else_does(self, world: World) -> None:
        """11.2 to 11.4. 401 for whatever comes before, 403 for a wrong token; both may try again. `auth` is signed, and ends."""
        name = world.name()
        phone = await world.phone(target="/any")

        await phone.tell("PING")
        assert await phone.hears() == NEED_AUTH
        await phone.tell("MESSAGE", sendType="personal", target=name, message=text("x"))
        assert await phone.hears() == NEED_AUTH
        await phone.tell("AUTH", token="wrong", name=name)
        assert await phone.hears() == TOKEN_INVALID
        said = await phone.auth(name, "g")

        assert (said["code"], said["msg"]) == (200, "Successful authentication")
        claims = jwt.decode(said["auth"], options={"verify_signature": False})
        assert (claims["name"], claims["group"]) == (name, "g")
        assert claims["exp"] > claims["iat"]
        await phone.tell("PING")
        assert await phone.hears() == PONG

    async def test_a_message_is_shown_as_it_was_sent(self, world: World) -> None:
        """11.3. To whom, from whom, text, desp, extra; the mid is that of the answer."""
        anna, bert = world.names(2)
        sender, phone = await world.device_2(anna), await world.device_2(bert)

        await sender.tell("MESSAGE", sendType="personal", target=bert, message=text("x", url="u"))
        message = await phone.message()
        await phone.takes(message["mid"])

        assert message == {
            "sendType": "personal",
            "target": bert,
            "from": {"method": "websocket", "name": anna},
            "message": text("x", url="u"),
            "mid": message["mid"],
        }
        reply = await sender.packet("MESSAGE_REPLY")
        assert reply == {"mid": message["mid"], "status": {bert: "ok"}}

    async def test_auth_comes_before_what_waits(self, world: World) -> None:
        """11.4. Of a device that takes over as well: the original sends it the head of the queue before."""
        name = world.name()
        first = await world.device_2(name)
        asked = world.asks("GET", f"/{name}.send?text=x")
        message = await first.message()

        for comet in world.place.comets:
            newer = await world.phone(comet)
            await newer.tell("AUTH", token=TOKEN, name=name)
            assert (await newer.packet("AUTH"))["code"] == 200
            assert await newer.message() == message
            assert await first.ends() == b""
            first = newer

        await first.takes(message["mid"])
        assert await asked.states() == {name: "ok"}

    async def test_a_second_auth_is_that_of_its_device(self, world: World) -> None:
        """11.4. Of the same name the connection stays (the original closes it); of another it leaves the first."""
        name, other = world.names(2)
        phone = await world.device_2(name)

        assert (await phone.auth(name))["code"] == 200
        assert (await phone.auth(other))["code"] == 200

        asked = world.asks("GET", f"/{other}.send?text=x")
        message = await phone.message()
        await phone.takes(message["mid"])
        assert await asked.states() == {other: "ok"}
        back = await world.device_2(name)  # nobody is ousted by it
        await phone.tell("PING")
        assert await phone.hears() == PONG
        await back.tell("PING")
        assert await back.hears() == PONG

    async def test_stray_acks_make_no_copies(self, world: World) -> None:
        """11.7. One in flight; an ack that is stale, double or of nothing sends nothing: each message comes once."""
        name = await world.absent()
        mids = [await world.push(f"/{name}?title={number}") for number in range(6)]
        phone = await world.device_2(name)

        for at, mid in enumerate(mids):
            assert (await phone.message())["mid"] == mid
            await phone.takes(*{mids[at - 1], "1", "x", "0000000000000"})
            await phone.tell("PING")
            assert await phone.hears() == PONG
            await phone.takes(mid, mid, mids[0])

        await phone.tell("PING")
        assert await phone.hears() == PONG

    @pytest.mark.parametrize("version", [1, 2])
    async def test_both_versions_are_one_device(self, world: World, *, version: int) -> None:
        """Who pushes by one reaches who speaks the other, and takes its connection over."""
        name = world.name()
        older = await world.device(name)
        phone = await world.device_2(name)
        assert await older.ends() == b""
        if version == 1:
            asked = world.asks("GET", f"/{name}?title=t&content=c")
            message = await phone.message()
            assert message["message"] == {"text": "t", "desp": "c", "extra": {}}
            await phone.takes(message["mid"])
            assert (await asked.answer()).body == world.word("ok")
        else:
            newer = await world.device(name)
            asked = world.asks("GET", f"/{name}.send?text=t&desp=c")
            [shown] = await newer.messages()
            assert (shown["title"], shown["content"]) == ("t", "c")
            await newer.acks(shown["mid"])
            assert await asked.states() == {name: "ok"}

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("{}", "/{}.send"),
            ("{}.b", "/{}.b.send"),  # the original splits at the first dot: group {}
            ("{}.sendz", "/{}.sendz.send"),
            ("mpush/{}", "/mpush/{}.send"),
            ("{} x", "/{}%20x.send"),
        ],
    )
    async def test_paths_end_in_send(self, world: World, name: str, path: str) -> None:
        """11.5. What is before it is the name; what is neither text nor desp is extra, repeated it is a list."""
        number = world.name()
        name, path = name.format(number), path.format(number)
        phone = await world.device_2(name)

        asked = world.asks("GET", f"{path}?text=t&desp=d&url=u&n=1&n=2")
        message = await phone.message()
        await phone.takes(message["mid"])

        assert message["message"] == text("t", url="u", n=["1", "2"])
        assert (message["sendType"], message["target"]) == ("personal", name)
        assert message["from"]["method"] == "http"
        answer = await asked.answer()
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert await asked.states() == {name: "ok"}
        assert answer.json()["data"]["mid"] == message["mid"]

    async def test_another_ending_is_a_name(self, world: World) -> None:
        """11.5. `/x.sendz` is a device called so, answered in the seed's words (in the original it is group x)."""
        assert (await world.ask("GET", f"/{world.name()}.sendz?title=x")).body == world.word("no")

    async def test_a_group_is_its_members(self, world: World) -> None:
        """11.5, 11.6. By path, by HTTP, by WebSocket: each has a state and a copy. A group is that of the latest login."""
        group = world.name()
        anna, bert, carl = world.names(3)
        await world.absent(carl, group)
        first = await world.device_2(anna, group)
        second = await world.device_2(bert, group)
        third = await world.device_2(carl)  # without it: it has left

        sent = {"sendType": "group", "target": group, "message": text("x")}
        body = json.dumps({"cmd": "MESSAGE", "data": sent}).encode()
        for path, said in ((f"/{group}.group?text=x&desp=d", b""), ("/", body)):
            asked = world.asks("POST" if said else "GET", path, said, **(JSON if said else {}))
            for phone in (first, second):
                message = await phone.message()
                assert (message["sendType"], message["target"]) == ("group", group)
                assert message["message"] == text("x")
                await phone.takes(message["mid"])
            assert await asked.states() == {anna: "ok", bert: "ok"}

        await third.tell("MESSAGE", **sent)
        for phone in (first, second):
            await phone.takes((await phone.message())["mid"])
        reply = await third.packet("MESSAGE_REPLY")
        assert reply["status"] == {anna: "ok", bert: "ok"}

    async def test_who_joins_is_a_member_at_once(self, world: World) -> None:
        """11.4. At every web node, also one that pushed to the group a moment ago; and who leaves is none."""
        group = world.name()
        names = world.names(3)
        phones = []
        for name in names:
            phones.append(await world.device_2(name, group))
            for _ in world.place.webs:
                asked = world.asks("GET", f"/{group}.group?text=x")
                for phone in phones:
                    await phone.takes((await phone.message())["mid"])
                assert await asked.states() == dict.fromkeys(names[: len(phones)], "ok")

        assert (await phones.pop().auth(names[2]))["code"] == 200
        for _ in world.place.webs:
            asked = world.asks("GET", f"/{group}.group?text=x")
            for phone in phones:
                await phone.takes((await phone.message())["mid"])
            assert await asked.states() == dict.fromkeys(names[:2], "ok")

    async def test_nobody_is_told_at_once(self, world: World) -> None:
        """11.5, 11.6. `no` for a device that is none, nothing for a group of none; by each of the three ways."""
        name = world.name()
        phone = await world.device_2(world.name())

        for kind, path, states in (
            ("personal", f"/{name}.send?text=x", {name: "no"}),
            ("group", f"/{name}.group?text=x", {}),
        ):
            said = {"sendType": kind, "target": name, "message": text("x")}
            reply = {"cmd": "MESSAGE_REPLY", "data": {"mid": "", "status": states}}
            assert (await world.ask("GET", path)).json() == reply
            assert await world.command("MESSAGE", **said) == reply
            await phone.tell("MESSAGE", **said)
            assert json.loads(await phone.hears()) == reply

    async def test_an_ack_over_http_moves_the_queue(self, world: World) -> None:
        """11.5, 11.7. The caller hears `ok`, and the socket gets the next message, not this one again."""
        name = world.name()
        phone = await world.phone(world.place.others(name)[0])
        auth = (await phone.auth(name))["auth"]
        asked = [world.asks("GET", f"/{name}.send?text=x")]
        first = await phone.message()
        asked.append(world.asks("GET", f"/{name}.send?text=y"))

        said = await world.command("MESSAGE_CALLBACK", auth=auth, mid=first["mid"])
        second = await phone.message()
        await phone.takes(second["mid"])

        assert said == {"cmd": "INFO", "data": "ok"}
        assert second["message"]["text"] == "y"
        assert [await one.states() for one in asked] == [{name: "ok"}] * 2

    @pytest.mark.parametrize("auth", [None, "", "x.y.z", {"name": "victim"}, 5])
    async def test_who_does_not_prove_his_name_is_nobody(self, world: World, auth: object) -> None:
        """12: 13. An `auth` that is no signed text is refused; in the original an object is believed."""
        name = await world.absent()
        mid = await world.push(f"/{name}?title=x")
        fields = {"cmd": "MESSAGE_CALLBACK", "auth": auth, "data": {"mid": mid}}

        answer = await world.ask("POST", "/", json.dumps(fields).encode(), **JSON)

        assert (answer.status, answer.json()["cmd"]) == (401, "INFO")
        assert await (await world.device(name)).mids(1) == [mid]

    @pytest.mark.parametrize(
        ("packet", "complaint"),
        [
            ({"cmd": "NOPE"}, "Unknow cmd: NOPE"),
            ({"cmd": "AUTH", "data": {"token": TOKEN}}, "name property is required"),
            (
                {"cmd": "MESSAGE", "data": {"sendType": "x"}},
                "sendType property must 'personal' or 'group'",
            ),
            (
                {"cmd": "MESSAGE", "data": {"sendType": "group"}},
                "target property is required",
            ),
            ({"cmd": "MESSAGE_CALLBACK", "data": {}}, "mid property is required"),
        ],
    )
    async def test_what_is_wrong_is_said(
        self, world: World, packet: Mapping[str, object], complaint: str
    ) -> None:
        """11.3, 11.5. INFO in the original's words; a socket stays, and an HTTP call is a 400."""
        phone = await world.device_2(world.name())

        await phone.say(json.dumps(packet))
        assert await phone.packet("INFO") == complaint
        await phone.tell("PING")
        assert await phone.hears() == PONG

        answer = await world.ask("POST", "/", json.dumps(packet).encode(), **JSON)
        assert (answer.status, answer.json()) == (400, {"cmd": "INFO", "data": complaint})

    async def test_a_test_is_answered_with_nothing(self, world: World) -> None:
        """11.5. TEST_HTTP: an empty 200 of the type that all answers have."""
        answer = await world.ask("POST", "/any", b'{"cmd":"TEST_HTTP"}', **JSON)

        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"

    async def test_who_unregisters_is_nobody(self, world: World) -> None:
        """11.2. Its queue is gone with it, and the next who is called so gets nothing of it."""
        name = await world.absent()
        await world.push(f"/{name}?title=x")
        phone = await world.device_2(name)
        await phone.message()

        await phone.tell("UNREGISTER")

        assert await phone.ends() == b""
        await world.until_word(f"/{name}/status?mid=1557901952810", "no")
        assert (await world.ask("GET", f"/{name}?title=x")).body == world.word("no")
        await (await world.device(name)).says_pong()

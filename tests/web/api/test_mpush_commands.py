"""The commands of version 2.2 over HTTP."""

import json
from collections.abc import Iterable
from typing import Any

import trio

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush import Body, Sender, device_key
from appmodel.core.mpush_steps import Step, step
from appmodel.core.mpush_stores import Receiver, ReceiverKind
from appmodel.core.mpush_waits import Awaited
from tests.web.mpush_desk import Desk, open_desk
from tests.web.world import Answer

SHORT = 0.02  # seconds
MID = "1557901952810"


async def command(desk: Desk, cmd: Any, data: Any = None, **more: Any) -> Answer:
    """POST one."""
    body = json.dumps({"cmd": cmd, "data": data, **more}).encode()
    return await desk.ask("POST", "/", body, headers={"Content-Type": "application/json"})


async def auth_of(desk: Desk, name: str, group: str = "") -> str:
    """Log in."""
    data = {"token": "mpush", "name": name, "group": group}
    auth: str = (await command(desk, "AUTH", data)).json()["data"]["auth"]
    return auth


def message(target: str, send_type: str = "personal", **said: Any) -> dict[str, Any]:
    """The data of MESSAGE."""
    return {"sendType": send_type, "target": target, "message": said}


async def test_auth_registers_a_device_in_its_group() -> None:
    """From then on it can be pushed to; a wrong token is told in a frame, and registers nobody."""
    async with open_desk() as desk:
        refused = await command(desk, "AUTH", {"token": "wrong", "name": "phone"})
        nobody = await desk.ask("GET", "/phone?title=t")
        answer = await command(desk, "AUTH", {"token": "mpush", "name": "phone", "group": "g"})
        there = await desk.ask("GET", "/phone?title=t")
        members = await desk.books.devices.members("g", limit=10)
        keys = await desk.books.keys.public()

    assert refused.body == b'{"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}'
    assert (nobody.body, there.body, list(members)) == (b"no\n", b"offline\n", ["phone"])
    data = answer.json()["data"]
    assert (data.pop("auth").count("."), data) == (
        2,
        {
            "code": 200,
            "msg": "Successful authentication",
            "webpushPublicKey": keys.webpush,
            "fcmProjectId": "",
            "fcmApplicationId": "",
            "fcmApiKey": "",
        },
    )


async def test_message_says_from_whom_it_is_and_what_became_of_it() -> None:
    """As `name.send` and `name.group`; who has no auth is anonymous, who has a wrong one is refused."""
    async with open_desk(wait=SHORT) as desk:
        auth = await auth_of(desk, "phone", "g")
        one = await command(desk, "MESSAGE", message("phone", text="t", desp="d"), auth=auth)
        group = await command(desk, "MESSAGE", message("g", "group", text="t"))
        forged = await command(desk, "MESSAGE", message("phone", text="t"), auth={"name": "boss"})
        wrong = await command(desk, "MESSAGE", message("phone", text="t"), auth="x.y.z")
        kept = await desk.kept("phone")

    assert one.json()["data"]["status"] == {"phone": "ready"}
    assert group.json()["data"]["status"] == {"phone": "ready"}
    assert (forged.status, wrong.status) == (401, 401)
    assert kept == [
        Body("d", "t", sender=Sender("http", "phone"), send_type="personal", target="phone"),
        Body("", "t", sender=Sender("http", "anonymous"), send_type="group", target="g"),
    ]


async def test_a_callback_acknowledges_for_all() -> None:
    """The book has it, who waits hears it; of a device, whoever else has the same mid."""
    answers: list[Answer] = []
    async with open_desk("tablet") as desk, trio.open_nursery() as nursery:
        auth = await auth_of(desk, "phone")
        desk.online("phone")

        async def push() -> None:
            answers.append(await desk.ask("GET", "/phone?title=t"))

        nursery.start_soon(push)
        while not desk.ears.waited_for:
            await trio.lowlevel.checkpoint()
        [awaited] = desk.ears.waited_for[0]
        mid = str(awaited.id // 1000)
        done = await command(desk, "MESSAGE_CALLBACK", {"mid": mid}, auth=auth)
        copied = await command(desk, "MESSAGE_WEBPUSH_CALLBACK", {"mid": mid}, auth=auth)
        states = await desk.books.acks.states(["phone", "tablet"])

    assert (done.body, copied.body) == (b'{"cmd":"INFO","data":"ok"}',) * 2
    assert [answer.body for answer in answers] == [b"ok\n"]
    assert desk.ears.noted == [
        Awaited(device_key("phone"), awaited.id),
        step("phone", Step.WEBPUSH_SHOWN, awaited.id),
    ]
    assert (states["phone"].has(awaited.id), states["tablet"].has(awaited.id)) == (True, False)


class Came(set[Awaited]):
    """What somebody who waits has heard: this step of every copy."""

    def __init__(self, done: Step) -> None:
        self._realm = step("phone", done, 0).key.realm

    def __contains__(self, one: object) -> bool:
        return isinstance(one, Awaited) and one.key.realm == self._realm

    def issuperset(self, others: Iterable[object]) -> bool:
        return all(one in self for one in others)


async def test_a_copy_beside_the_socket_has_a_word() -> None:
    """As far as it has come when the answer is given; who has no receiver is as ever, and so is the seed's answer."""
    async with open_desk(wait=SHORT) as desk:
        await desk.register("phone", "tablet", group="g")
        receiver = Receiver("phone", ReceiverKind.FCM, "a token", Hidden(""))
        await desk.books.receivers.add(receiver, cursor=0, now=1)
        waiting = await command(desk, "MESSAGE", message("g", "group", text="t"))
        desk.ears.acked = Came(Step.FCM_SENT)
        sent = await command(desk, "MESSAGE", message("g", "group", text="t"))
        seed = await desk.ask("GET", "/phone?title=t")

    assert waiting.json()["data"]["status"] == {"phone": "fcm-wait", "tablet": "ready"}
    assert sent.json()["data"]["status"] == {"phone": "fcm-send", "tablet": "ready"}
    assert seed.body == b"offline\n"


async def test_what_is_wrong_is_told_as_info() -> None:
    """In the words of the original where it has some; the status says it, too."""
    async with open_desk("phone", auth="on", open="no") as desk:
        auth = await auth_of(desk, "phone")
        asked: list[tuple[Answer, int, str]] = [
            (await command(desk, "JUMP"), 400, "Unknow cmd: JUMP"),
            (await command(desk, ["x"]), 400, "Unknow cmd: x"),
            (await command(desk, "PING"), 400, "Unknow cmd: PING: over a WebSocket only"),
            (await command(desk, "AUTH", []), 400, "name property is required"),
            (await command(desk, "AUTH", {"name": "x" * 201}), 400, "name: got"),
            (await command(desk, "MESSAGE", message("phone")), 401, "token: there is none"),
            (await command(desk, "MESSAGE_CALLBACK", {"mid": MID}), 401, "must need auth"),
            (await command(desk, "MESSAGE_CALLBACK", {}, auth=auth), 400, "mid property is"),
            (
                await command(desk, "MESSAGE_CALLBACK", {"mid": "x"}, auth=auth),
                400,
                "mid property must",
            ),
            (await command(desk, "REGISTER_FCM", {"token": "t"}, auth=auth), 400, "fcm: not conf"),
            (await command(desk, "REGISTER_FCM", {}, auth=auth), 400, "token property is required"),
        ]
        empty = await command(desk, "TEST_HTTP")

    for answer, status, text in asked:
        assert (answer.status, answer.json()["cmd"]) == (status, "INFO")
        assert answer.json()["data"].startswith(text)
    assert (empty.status, empty.body) == (200, b"")

"""Pushing by HTTP, as callers see it."""

import time
from urllib.parse import quote

import trio

from appmodel.core.mpush import Body, Sender, device_key
from appmodel.core.mpush_tokens import Right, issue
from appmodel.core.mpush_waits import Awaited
from appmodel.errors import LimitReached
from tests.web.mpush_desk import open_desk
from tests.web.world import Answer

SHORT = 0.02  # seconds that are waited for an acknowledgement that does not come


def word(answer: Answer) -> tuple[int, bytes]:
    """Status and body."""
    return answer.status, answer.body


async def test_the_four_answers() -> None:
    """Unknown, kept, silent, acknowledged: one word and a line feed, and the mid in a header."""
    async with open_desk("phone", wait=SHORT) as desk:
        assert word(await desk.ask("GET", "/nobody?title=t")) == (200, b"no\n")
        assert word(await desk.ask("GET", "/?title=t")) == (200, b"no\n")
        offline = await desk.ask("GET", "/phone?title=t&content=c")
        assert word(offline) == (200, b"offline\n")
        desk.online("phone")
        assert word(await desk.ask("POST", "/phone", b"title=t2")) == (200, b"online\n")

        kept = await desk.kept("phone")

    assert kept == [Body("c", "t"), Body("", "t2")]
    assert len(offline.headers["x-mpush-mid"]) == 13
    assert desk.ears.waited_for != []


async def test_ok_is_answered_at_the_acknowledgement() -> None:
    """Not at the end of the wait, which is longer than this test may take."""
    answers: list[Answer] = []
    async with open_desk("phone", line_feed=False) as desk, trio.open_nursery() as nursery:
        desk.online("phone")

        async def push() -> None:
            answers.append(await desk.ask("GET", "/phone?title=t"))

        nursery.start_soon(push)
        [acked] = await desk.ears.acknowledge_next()

    assert [word(answer) for answer in answers] == [(200, b"ok")]  # without a line feed: a setting
    assert acked == Awaited(device_key("phone"), int(answers[0].headers["x-mpush-mid"]) * 1000)


async def test_every_way_to_say_a_message() -> None:
    """Forms, JSON, texts and queries, with the names that others gave these fields."""
    long = "你好 " * 100
    ways: list[tuple[str, str, bytes, dict[str, str], Body]] = [
        ("GET", "title=a+b&content=c%26d", b"title=ignored", {}, Body("c&d", "a b")),
        ("POST", "", b"title=50%2541&content=100%", {}, Body("100%", "50%41")),
        ("POST", "", b'{"title":"t","message":"m"}', {"Content-Type": "application/json"}, Body("m", "t")),
        ("POST", "", b"backup done", {"Content-Type": "application/x-www-form-urlencoded"}, Body("backup done")),
        ("PUT", "title=t", long.encode(), {"Content-Type": "text/plain"}, Body(long, "t")),
        ("POST", "", b"title=t&desp=d", {"Content-Type": "text/plain;charset=UTF-8"}, Body("d", "t")),
        ("GET", "text=t&priority=high&tags=a,b&click=https://x.example", b"", {}, Body("", "t", 4, ("a", "b"), "https://x.example")),
        ("GET", "title=a&title=b", b"", {}, Body("", ["a", "b"])),
        ("POST", "", b"", {}, Body("")),
    ]  # fmt: skip
    async with open_desk("phone") as desk:
        for method, query, body, headers, _ in ways:
            answer = await desk.ask(method, f"/phone?{query}", body, headers=headers)
            assert word(answer) == (200, b"offline\n")

        kept = await desk.kept("phone")

    assert [values(body) for body in kept] == [values(way[4]) for way in ways]


def values(body: Body) -> tuple[object, ...]:
    """Its values; tags come back from the store as a list."""
    return (body.content, body.title, body.priority, tuple(body.tags), body.click)


async def test_a_name_may_be_written_in_any_way() -> None:
    """Percent-encoded, with a slash behind it, with commas in it, or as its client had to log in to the seed."""
    async with open_desk("设备", "a/b", "%E8%AE%BE", "a,b", "a b", "x@mpush") as desk:
        for path, name in [
            (quote("设备"), "设备"),
            ("a%2Fb", "a/b"),
            ("a/b/", "a/b"),
            (quote("设"), "%E8%AE%BE"),
            ("a,b", "a,b"),
            ("a%20b", "a b"),
            ("x@mpush", "x@mpush"),
        ]:
            before = len(await desk.kept(name))
            assert word(await desk.ask("GET", f"/{path}?title=t")) == (200, b"offline\n")
            assert len(await desk.kept(name)) == before + 1


async def test_several_devices_and_groups_in_one_call() -> None:
    """A word for each, groups by their members; all of them share one message."""
    async with open_desk("a", "b", wait=SHORT) as desk:
        await desk.register("ann", "bob", group="family")
        desk.online("b")

        answer = await desk.ask("GET", "/a,b,nobody,family.group?title=t")
        details = await desk.ask("GET", "/a,nobody", headers={"Accept": "application/json"})

        assert answer.json() == {
            "a": "offline",
            "b": "online",
            "nobody": "no",
            "ann": "offline",
            "bob": "offline",
        }
        assert answer.body.endswith(b"}\n")
        assert len(desk.world.comet.calls[0]) == 1
        assert await desk.kept("bob") == [Body("", "t")]
    mid = details.json()["a"].pop("mid")
    assert details.json() == {"a": {"state": "offline", "mid": mid}, "nobody": {"state": "no"}}


async def test_version_2_answers_with_states() -> None:
    """A frame of its own, who pushed, all further fields as extra; whoever is away is waited for, too."""
    async with open_desk(wait=SHORT) as desk:
        await desk.register("a.b", "c", group="g")
        desk.online("c")

        one = await desk.ask("GET", "/a.b.send?text=t&desp=d&url=u&url=v")
        group = await desk.ask("POST", "/g.group", b"text=t")
        nobody = await desk.ask("GET", "/x.send?text=t")
        empty = await desk.ask("GET", "/none.group?text=t")

        assert one.json()["data"]["status"] == {"a.b": "ready"}
        assert group.json()["data"]["status"] == {"a.b": "ready", "c": "wait"}
        assert nobody.body == b'{"cmd":"MESSAGE_REPLY","data":{"mid":"","status":{"x":"no"}}}'
        assert empty.body == b'{"cmd":"MESSAGE_REPLY","data":{"mid":"","status":{}}}'
        assert one.headers["content-type"] == "application/json; charset=utf-8"
        kept = await desk.kept("a.b")
    sender = Sender("http", "anonymous")
    assert kept == [
        Body(
            "d", "t", extra={"url": ["u", "v"]}, sender=sender, send_type="personal", target="a.b"
        ),
        Body("", "t", sender=sender, send_type="group", target="g"),
    ]
    assert [len(waited) for waited in desk.ears.waited_for] == [1, 2]


REFUSALS: list[tuple[str, str, bytes, int, str]] = [
    ("GET", "/phone?titel=t", b"", 400, "parameter 'titel': got 't', expected one of"),
    ("POST", "/phone", b"\xff", 400, "body: got"),
    ("POST", "/phone", b"x" * 70_000, 413, "message: 70014 bytes, at most 65536\n"),
    ("POST", "/phone", b"x" * 2_000_000, 413, "body: 2000000 bytes, at most 1048576\n"),
    ("HEAD", "/phone", b"", 405, ""),
    ("DELETE", "/phone", b"", 405, "method: got 'DELETE', expected GET, POST or PUT"),
    ("PATCH", "/phone?title=t", b"", 405, "method: got 'PATCH'"),
    ("GET", "/" + "x" * 201, b"", 400, "name: got "),
    ("GET", "/a%00b", b"", 400, "name: got 'a\\x00b', expected printable characters only\n"),
    ("GET", "/%ff", b"", 400, "path: got "),
    (
        "GET",
        "/phone.send?text=t&delay=40d&at=noon",
        b"",
        400,
        '{"cmd":"INFO","data":"delay: got \'40d\', expected at most',
    ),
    ("GET", "/phone?at=99999999999", b"", 400, "at: got '99999999999', expected at most"),
    (
        "GET",
        "/phone?delay=40d",
        b"",
        400,
        "delay: got '40d', expected at most 2592000 seconds from now",
    ),
    ("PATCH", "/phone.send", b"", 405, '{"cmd":"INFO","data":"method: got'),
    ("GET", "/" + ",".join("x" * 101), b"", 413, "path: more than 100 names"),
]


async def test_a_refusal_names_what_was_wrong_and_keeps_nothing() -> None:
    """Wrong method 405, too large 413, everything else 400; nothing of it ends anything."""
    async with open_desk("phone") as desk:
        for method, target, body, status, text in REFUSALS:
            answer = await desk.ask(method, target, body)

            assert (answer.status, answer.body.decode()[: len(text)]) == (status, text)
            assert ("allow" in answer.headers) is (status == 405)
        assert await desk.kept("phone") == []
        wants_json = {"Accept": "application/json"}
        problem = await desk.ask("GET", "/phone?titel=t", headers=wants_json)

    assert (problem.status, problem.json()["code"]) == (400, "bad_input")
    assert problem.json()["status"] == 400
    assert problem.headers["content-type"] == "application/problem+json"


async def test_a_device_that_connects_to_this_port_is_told_its_own() -> None:
    """It is no push of an empty message. Other upgrades, as curl offers one, are not looked at."""
    async with open_desk("phone") as desk:
        socket = await desk.ask("GET", "/phone", headers={"Upgrade": "websocket"})
        nothing = await desk.kept("phone")
        h2c = await desk.ask("GET", "/phone?title=t", headers={"Upgrade": "h2c"})

    assert (socket.status, nothing) == (400, [])
    assert b"2245" in socket.body
    assert h2c.status == 200


async def test_an_owner_that_takes_no_more_is_said() -> None:
    """429, and when to come back: nothing was kept, and nobody may think that it was."""
    async with open_desk("phone", "tablet") as desk:
        desk.world.comet.trouble = LimitReached("pushes: 1000 wait, at most 1000")

        one = await desk.ask("GET", "/phone?title=t")
        both = await desk.ask("GET", "/phone,tablet.send?title=t")

    assert word(one) == (429, b"pushes: 1000 wait, at most 1000\n")
    assert one.headers["retry-after"] == "1"
    assert both.status == 429


async def test_pushing_away_from_home_needs_a_token() -> None:
    """That of all devices, in any of its places, or one of its own that covers every name."""
    async with open_desk("phone", "tablet", auth="on") as desk:
        credentials, now = desk.world.context.credentials, time.time()
        narrow, _ = issue(credentials, [Right.PUBLISH], ["ph*", "team.group"], now=now, ttl=60)
        reads, _ = issue(credentials, [Right.READ], ["*"], now=now, ttl=60)

        async def push(target: str, token: str = "", **headers: str) -> int:
            query = f"?title=t&token={token}" if token else "?title=t"
            return (await desk.ask("GET", f"/{target}{query}", headers=headers)).status

        assert await push("phone") == 401
        assert await push("phone", "wrong") == 401
        assert await push("phone", "mpush") == 200
        assert await push("phone", Authorization="mpush") == 200
        assert await push("phone", Authorization=f"Bearer {narrow}") == 200
        assert await push("tablet", narrow) == 403
        assert await push("phone,tablet", narrow) == 403
        assert await push("phone/", narrow) == 200  # the device that is meant counts
        assert await push("team.group", narrow) == 200
        assert await push("other.group", narrow) == 403
        assert await push("phone", reads) == 403
        assert len(await desk.kept("phone")) == 4
        assert await desk.kept("tablet") == []


async def test_pages_of_other_sites_cannot_push() -> None:
    """While pushing is open, anybody's browser could; a page that is allowed can read the answer."""
    async with open_desk("phone", origins=("https://app.example",)) as desk:
        foreign = await desk.ask(
            "GET", "/phone?title=t", headers={"Origin": "https://evil.example"}
        )
        rebound = await desk.ask("GET", "/phone?title=t", headers={"Host": "evil.example"})
        ours = {"Origin": "https://app.example"}
        own = await desk.ask("GET", "/phone?title=t", headers=ours)
        preflight = await desk.ask("OPTIONS", "/phone", headers=ours)
        refused = await desk.ask("OPTIONS", "/phone", headers={"Origin": "https://evil.example"})

    assert (foreign.status, rebound.status, own.status) == (403, 403, 200)
    assert own.headers["access-control-allow-origin"] == "https://app.example"
    assert (preflight.status, refused.status) == (200, 403)
    assert "PUT" in preflight.headers["access-control-allow-methods"]


async def test_a_push_may_wait_for_its_time_and_be_taken_back() -> None:
    """It is kept elsewhere than in the queue; the answer has the id that takes it back."""
    async with open_desk("phone", "tablet") as desk:
        answer = await desk.ask("GET", "/phone,tablet,team.group?title=t&delay=10m")
        delayed, identifier = answer.body.decode().split()
        listed = (await desk.ask("GET", "/phone/delayed")).json()["delayed"]
        nobody = await desk.ask("GET", "/nobody?title=t&delay=10m")
        asked = await desk.ask("GET", "/phone?delay=1h", headers={"Accept": "application/json"})

        assert delayed == "delayed"
        assert await desk.kept("phone") == []
        assert [(each["id"], each["message"]["title"]) for each in listed] == [(identifier, "t")]
        assert word(nobody) == (200, b"no\n")
        assert asked.json()["state"] == "delayed"

        assert word(await desk.ask("DELETE", f"/phone/delayed/{identifier}")) == (200, b"ok\n")
        for gone in (identifier, "x", "%00", ""):
            assert (await desk.ask("DELETE", f"/phone/delayed/{gone}")).status == 404
        assert (await desk.ask("GET", "/tablet/delayed")).json()["delayed"] != []
        assert len(await desk.books.delays.of("team", is_group=True, limit=10)) == 1

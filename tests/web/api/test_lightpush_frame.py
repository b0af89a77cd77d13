"""What all routes of the light-push REST have in common: credentials, bodies, headers, 404."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from appmodel.core.lightpush import Refusal
from appmodel.errors import Unavailable
from appmodel.protocol.http import Response
from appmodel.runtime.config import Password
from tests.web.lightpush_door import ADMIN as WELL_KNOWN
from tests.web.lightpush_door import DEMO, RECORDS, a_namespace, basic, open_door
from tests.web.world import Answer, Door
from web.api.lightpush_frame import Call, LightpushFrame

ORIGIN = "https://ops.example"
ADMIN = basic("root", "adm:in")


async def echo(call: Call) -> Any:
    """What arrived."""
    asked = {name: call.asked.texts(name) for name in ("a", "b")}
    return {
        "namespace": call.namespace,
        "parameter": call.parameter,
        "body": call.body,
        "asked": asked,
    }


async def nothing(_call: Call) -> Any:
    """Answers `{}`."""


async def no_content(_call: Call) -> Any:
    """Answers 204."""
    return Response(status=204)


async def refuse(_call: Call) -> Any:
    """Does not want."""
    raise Refusal("room can not be empty")


async def fail(_call: Call) -> Any:
    """Cannot."""
    raise Unavailable("the database is away")


def add_routes(frame: LightpushFrame) -> None:
    """One of each kind."""
    for add in (frame.namespace, frame.admin):
        add("POST", "echo", echo)
        add("GET", "echo", echo)
        add("GET", "below/", echo)
        add("POST", "nothing", nothing)
        add("POST", "none", no_content)
        add("GET", "refuse", refuse)
        add("GET", "fail", fail)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """With these routes."""
    secret = Password("adm:in")
    async with open_door(admin_name="root", admin_password=secret) as (door, frame):
        add_routes(frame)
        yield door


def has_common_headers(answer: Answer, origin: str = "") -> bool:
    """Those of each answer."""
    expected = {
        "from": "light-push",
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "vary": "Origin",
    }
    return expected.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    ("path", "headers", "namespace"),
    [
        ("/api/auth/echo", DEMO, "/demo"),
        ("/api/auth/echo", basic("/demo", "s3:cret", ""), "/demo"),
        ("/api/admin/echo", ADMIN, ""),
        ("/api/admin/echo", basic("root", "adm:in", ""), ""),
    ],
)
async def test_who_proves_itself_comes_in(
    door: Door, path: str, headers: dict[str, str], namespace: str
) -> None:
    """With and without the word Basic; a password may hold ":"."""
    answer = await door.ask("POST", f"{path}?a=1&a=2&b=", b'{"x":[1]}', headers=headers)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-response-time"].endswith("ms")
    assert has_common_headers(answer)
    assert answer.json() == {
        "namespace": namespace,
        "parameter": "",
        "body": {"x": [1]},
        "asked": {"a": ["1", "2"], "b": []},
    }


@pytest.mark.parametrize(
    ("path", "headers", "status", "text"),
    [
        ("/api/auth/echo", {}, 400, "need authorization"),
        ("/api/admin/echo", {}, 400, "need authorization"),
        ("/api/auth/echo", basic("/nobody", "x"), 400, "namespace not found"),
        ("/api/auth/echo", basic("demo", "s3:cret"), 400, "namespace not found"),
        ("/api/auth/echo", basic("/", "x"), 400, "namespace not found"),
        ("/api/auth/echo", basic("constructor", ""), 400, "namespace not found"),
        ("/api/auth/echo", basic("__proto__", ""), 400, "namespace not found"),
        ("/api/auth/echo", {"Authorization": "Basic &&&"}, 400, "namespace not found"),
        ("/api/auth/echo", ADMIN, 400, "namespace not found"),
        ("/api/auth/echo", basic("/demo", "s3"), 401, "passwd error"),
        ("/api/auth/echo", basic("/demo", ""), 401, "passwd error"),
        ("/api/auth/echo", {"Authorization": "L2RlbW8="}, 401, "passwd error"),
        ("/api/auth/echo", basic("/open", ""), 401, "passwd error"),
        ("/api/auth/echo", basic("/open", "null"), 401, "passwd error"),
        ("/api/admin/echo", basic("root", "adm"), 401, "auth error"),
        ("/api/admin/echo", basic("admin", "adm:in"), 401, "auth error"),
        ("/api/admin/echo", DEMO, 401, "auth error"),
        ("/api/auth/unknown", {}, 400, "need authorization"),
        ("/api/auth/unknown", DEMO, 404, "Not Found"),
        ("/api/admin/below/", ADMIN, 404, "Not Found"),
        ("/api/auth/nothing", DEMO, 404, "Not Found"),
        ("/elsewhere", DEMO, 404, "Not Found"),
        ("/", {}, 404, "Not Found"),
        (
            "/api/auth/refuse",
            DEMO,
            400,
            '{"code": 9999,"msg": "room can not be empty"}',
        ),
        ("/api/auth/fail", DEMO, 503, '{"code": 9999,"msg": "the database is away"}'),
    ],
)
async def test_refusals(
    door: Door, path: str, headers: dict[str, str], status: int, text: str
) -> None:
    """The original's texts and statuses; browsers can read them (W33), and W5, W7 get nowhere."""
    answer = await door.ask("GET", path, headers=headers | {"Origin": ORIGIN})

    assert (answer.status, answer.body.decode()) == (status, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert has_common_headers(answer, ORIGIN)


async def test_a_path_may_end_with_a_parameter(door: Door) -> None:
    """Percent-encoded, with slashes and "#" in it: client ids and namespaces have them."""
    answer = await door.ask("GET", "/api/auth/below/%2Fdemo%23u%2F1%23ios-d1", headers=DEMO)

    assert answer.json()["parameter"] == "/demo#u/1#ios-d1"


async def test_answers_without_a_result(door: Door) -> None:
    """`{}`, and 204 without a body."""
    nothing = await door.ask("POST", "/api/auth/nothing", headers=DEMO)
    none = await door.ask("POST", "/api/auth/none", headers=DEMO)

    assert (nothing.status, nothing.body) == (200, b"{}")
    assert (none.status, none.body) == (204, b"")
    assert has_common_headers(none)


async def test_who_calls_is_asked_before_what_he_says(door: Door) -> None:
    """Then comes the body, then the route."""
    stranger = await door.ask("POST", "/api/auth/unknown", b"{")
    body = await door.ask("POST", "/api/auth/unknown", b"{", headers=DEMO)
    route = await door.ask("POST", "/api/auth/unknown", b"{}", headers=DEMO)

    assert (stranger.status, stranger.body) == (400, b"need authorization")
    assert (body.status, body.body) == (400, b"Bad Request")
    assert (route.status, route.body) == (404, b"Not Found")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/auth/echo", 200),
        ("/api/admin/unknown", 200),
        ("/health", 404),
        ("/", 404),
    ],
)
async def test_a_preflight_needs_no_credential(door: Door, path: str, status: int) -> None:
    """On any path with the headers; 200 below both prefixes."""
    answer = await door.ask("OPTIONS", path, headers={"Origin": ORIGIN})

    assert (answer.status, answer.body) == (status, b"")
    assert has_common_headers(answer, ORIGIN)
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert "Authorization" in answer.headers["access-control-allow-headers"].split(", ")
    assert answer.headers["access-control-max-age"] == "2592000"


async def test_health(door: Door) -> None:
    """For balancers."""
    answer = await door.ask("GET", "/health")

    assert (answer.status, answer.body) == (200, b"hello")
    assert has_common_headers(answer)


async def test_a_body_has_a_limit(door: Door) -> None:
    """413, readable for browsers."""
    headers = DEMO | {"Content-Length": str(1024 * 1024 + 1), "Origin": ORIGIN}
    answer = await door.ask("POST", "/api/auth/echo", b"x", headers=headers)

    assert answer.status == 413
    assert has_common_headers(answer, ORIGIN)


async def test_pages_of_other_sites_may_not_use_the_well_known_password() -> None:
    """Any page in a browser on this machine knows it, too."""
    async with open_door() as (door, frame):
        add_routes(frame)

        for page, status in ((ORIGIN, 403), ("http://localhost:4200", 200), ("", 200)):
            headers = WELL_KNOWN | {"Origin": page}
            answer = await door.ask("GET", "/api/admin/echo", headers=headers)
            assert answer.status == status
            assert has_common_headers(answer, page)
        assert (
            await door.ask("GET", "/api/auth/echo", headers=DEMO | {"Origin": ORIGIN})
        ).status == 200


async def test_wrong_tries_are_limited_and_lock_nobody_out() -> None:
    """Who has proved himself from an address stays in; a right password is no oracle."""
    async with open_door(tries=2, address_tries=4) as (door, frame):
        add_routes(frame)

        async def status(headers: dict[str, str], address: str = "203.0.113.7") -> int:
            forwarded = headers | {"X-Forwarded-For": address}
            return (await door.ask("GET", "/api/auth/echo", headers=forwarded)).status

        wrong = basic("/demo", "wrong")
        assert await status(DEMO, "203.0.113.8") == 200
        assert [await status(wrong) for _ in range(3)] == [401, 401, 429]
        assert await status(DEMO) == 429
        assert [await status(wrong, "203.0.113.8") for _ in range(3)] == [401, 401, 429]
        assert await status(DEMO, "203.0.113.8") == 200
        others = [await status(basic(f"/n{n}", "x")) for n in range(3)]
        assert others == [400, 400, 429]


async def test_who_was_in_before_is_asked_again_when_the_record_has_changed() -> None:
    """He is remembered beside the record that he proved himself for."""
    records = dict(RECORDS)
    async with open_door(records) as (door, frame):
        add_routes(frame)

        async def status(headers: dict[str, str]) -> int:
            return (await door.ask("GET", "/api/auth/echo", headers=headers)).status

        assert [await status(DEMO) for _ in range(2)] == [200, 200]

        records["/demo"] = a_namespace("/demo", "new")

        assert await status(DEMO) == 401
        assert await status(basic("/demo", "new")) == 200
        del records["/demo"]
        assert await status(basic("/demo", "new")) == 400


async def test_right_calls_are_no_tries() -> None:
    """However many there are at once."""
    async with open_door(tries=1, address_tries=1) as (door, frame):
        add_routes(frame)

        answers: list[int] = []

        async def ask() -> None:
            answers.append((await door.ask("GET", "/api/auth/echo", headers=DEMO)).status)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)

        assert answers == [200] * 20

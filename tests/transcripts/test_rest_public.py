"""Byte dialogues of the public REST: spec/gopush.md 2.1 to 2.3, row by row.

Requests go over a real socket; `Date` is the only thing taken out of an answer. Ours beside the
original's headers: Content-Length, `nosniff`, and `X-Appmsg-Error` with the reason of a refusal.
"""

import re
import time
from urllib.parse import quote

import pytest
import trio

from appmodel.errors import Unavailable
from tests.web.world import World, open_world, web_config

JSON = b"Content-Type: application/json;charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
JAVASCRIPT = JSON.replace(b"/json", b"/javascript")


def get(target: str, *, headers: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%bConnection: close\r\n\r\n" % (
        target.encode(),
        headers,
    )


def ok(body: bytes, *, kind: bytes = JSON) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%bConnection: close\r\n\r\n%b" % (
        len(body),
        kind,
        body,
    )


async def answer_of(world: World, request: bytes) -> bytes:
    """The whole answer, without its date."""
    raw = await world.public.exchange(request)
    return re.sub(rb"Date: [^\r]*\r\n", b"", raw)


async def body_of(world: World, target: str, headers: bytes = b"") -> bytes:
    raw = await world.public.exchange(get(target, headers=headers))
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    return raw.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/1/server/get?k=u1&p=1", b'{"data":{"server":"c1.example:6968"},"ret":0}'),
        ("/1/server/get?k=u1&p=2", b'{"data":{"server":"c1.example:6969"},"ret":0}'),
        (
            "/2/server/get?k=u1&p=1",
            b'{"data":{"server":["c1.example:6968","c2.example:6968"]},"ret":0}',
        ),
        ("/2/server/get?k=u1&p=2", b'{"data":{"server":["c1.example:6969"]},"ret":0}'),
        (
            "/server/get?key=u1&proto=2",
            b'{"data":{"server":"c1.example:6969"},"msg":"ok","ret":0}',
        ),
        ("/1/msg/get?k=u1&m=0", b'{"ret":0}'),
        ("/msg/get?key=u1&mid=0&pmid=7", b'{"msg":"ok","ret":0}'),
    ],
)
async def test_plain_answers(home: World, target: str, body: bytes) -> None:
    """One JSON object, members in alphabetical order, its content type, nothing behind it."""
    assert await answer_of(home, get(target)) == ok(body)


async def test_messages_in_the_new_form(home: World) -> None:
    """Embedded JSON without white space, `<>&` escaped, ids ascending, above the given one."""
    await home.keep("u1", b'{"a": 1}', b'"<b>"', b"[ ]")

    answer = await answer_of(home, get("/1/msg/get?k=u1&m=1"))

    assert answer == ok(
        b'{"data":{"msgs":[{"msg":"\\u003cb\\u003e","mid":2,"gid":0},{"msg":[],"mid":3,"gid":0}]},"ret":0}'
    )


async def test_messages_in_the_old_form(home: World) -> None:
    """Each an old envelope, as a string; `pmsgs` is there and empty."""
    await home.keep("u1", b'{"a": 1}')

    answer = await answer_of(home, get("/msg/get?key=u1&mid=0"))

    assert answer == ok(
        b'{"data":{"msgs":["{\\"msg\\":\\"{\\\\\\"a\\\\\\": 1}\\",\\"mid\\":1,\\"gid\\":0}"],'
        b'"pmsgs":[]},"msg":"ok","ret":0}'
    )


@pytest.mark.parametrize(
    ("path", "tail"), [("/1/time/get", b"},"), ("/time/get", b'},"msg":"ok",')]
)
async def test_time_is_in_microseconds_on_both_paths(home: World, path: str, tail: bytes) -> None:
    """A client may begin with it as its last id, so it is in the unit of ids (L18: the old path was not)."""
    before = time.time_ns() // 1000

    body = await body_of(home, path)

    match = re.fullmatch(rb'\{"data":\{"timeid":(\d+)' + re.escape(tail) + rb'"ret":0\}', body)
    assert match is not None
    assert before <= int(match[1]) <= time.time_ns() // 1000


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/1/server/get?k=u1&p=1&cb=on.server_1$", b'on.server_1$({"data":{"server":"c1.example:6968"},"ret":0})'),
        ("/server/get?key=u1&proto=1&callback=f", b'f({"data":{"server":"c1.example:6968"},"msg":"ok","ret":0})'),
        ("/1/msg/get?k=u1&m=0&cb=f", b'f({"ret":0})'),
        ("/1/msg/get?k=u1&m=0&cb=", b'{"ret":0}'),
    ],
)  # fmt: skip
async def test_jsonp(home: World, target: str, body: bytes) -> None:
    """The page's function around the same text, no semicolon, as JavaScript; an empty name is none."""
    kind = JSON if body.startswith(b"{") else JAVASCRIPT

    assert await answer_of(home, get(target)) == ok(body, kind=kind)


async def test_a_refusal_is_jsonp_too(home: World) -> None:
    """A page must be able to read that it was refused."""
    assert await body_of(home, "/1/server/get?k=&p=1&cb=f") == b'f({"ret":65534})'
    assert await body_of(home, "/msg/get?key=&mid=1&callback=f") == b'f({"msg":"ok","ret":65534})'


@pytest.mark.parametrize("name", ["alert(1)//", "<script>", "a b", "a;b", "x" * 129, "é"])
@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/1/time/get?cb=", b'{"ret":65534}'),
        ("/time/get?callback=", b'{"msg":"ok","ret":65534}'),
        ("/1/msg/get?k=u1&m=0&cb=", b'{"ret":65534}'),
    ],
)
async def test_a_callback_is_a_name(home: World, target: str, body: bytes, name: str) -> None:
    """Anything else would run in the page of whoever follows a link (S9)."""
    assert await body_of(home, target + quote(name)) == body


@pytest.mark.parametrize(
    ("target", "ret"),
    [
        ("/1/server/get", 65534),
        ("/1/server/get?k=&p=1", 65534),
        ("/1/server/get?k=u1", 65534),
        ("/1/server/get?k=u1&p=x", 65534),
        ("/1/server/get?k=u1&p=0", 65534),
        ("/1/server/get?k=u1&p=3", 65534),  # S10: not the internal address
        ("/1/server/get?key=u1&proto=1", 65534),  # the old names mean nothing here
        ("/2/server/get?k=u1&p=3", 65534),
        ("/server/get?key=u1&proto=3", 65534),
        ("/1/msg/get?k=&m=0", 65534),
        ("/1/msg/get?k=u1&m=", 65534),
        ("/1/msg/get?k=u1", 65534),
        ("/1/msg/get?k=u1&m=1.5", 65534),
        ("/1/msg/get?k=u1&m=1_0", 65534),
        ("/1/msg/get?k=u1&m=9223372036854775808", 65534),
        ("/1/msg/get?k=u1&m=-1", 65535),  # passes web, refused by the message node
        ("/1/msg/get?k=u1&m=%ff", 65534),
        ("/1/msg/get?k=%ff&m=0", 65534),
        ("/1/msg/get?k=%00&m=0", 65534),
        ("/1/msg/get?" + "k=u1&" * 100 + "m=0", 65534),
    ],
)
async def test_bad_parameters(home: World, target: str, ret: int) -> None:
    """Status 200 and a code; the old paths say `ok` even then; the reason names the field."""
    body = await body_of(home, target)

    old = b'"msg":"ok",' if target[1].isalpha() else b""
    assert body == b'{%b"ret":%d}' % (old, ret)


async def test_a_refusal_says_why_in_a_header(home: World) -> None:
    """Old clients read the code, people the header: which field, which value, what was expected."""
    answer = await answer_of(home, get("/1/msg/get?k=u1&m=soon"))

    assert b"X-Appmsg-Error: m: got 'soon', expected a whole number of 64 bits\r\n" in answer


@pytest.mark.parametrize("sign", ["+", ""])
async def test_numbers_are_what_go_takes(home: World, sign: str) -> None:
    """ParseInt takes a sign, and leading zeros."""
    assert await body_of(home, f"/1/msg/get?k=u1&m={sign.replace('+', '%2B')}007") == b'{"ret":0}'


async def test_no_comet_is_1001() -> None:
    """Nobody to connect to; a bad parameter is still a bad parameter."""
    async with open_world(comets=False) as world:
        assert await body_of(world, "/1/server/get?k=u1&p=1") == b'{"ret":1001}'
        assert await body_of(world, "/server/get?key=u1&proto=2") == b'{"msg":"ok","ret":1001}'
        assert await body_of(world, "/1/server/get?k=&p=1") == b'{"ret":65534}'


async def test_no_address_for_the_protocol_is_1001() -> None:
    """A comet without a TCP listener has nothing to offer to TCP clients."""
    async with open_world(tcp=()) as world:
        assert await body_of(world, "/1/server/get?k=u1&p=2") == b'{"ret":1001}'
        assert await body_of(world, "/2/server/get?k=u1&p=2") == b'{"ret":1001}'


async def test_a_store_that_is_away_is_65535(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the original for "no message node" and for its errors."""

    async def away(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise Unavailable("no message node answers")

    monkeypatch.setattr(home.store, "fetch", away)

    assert await body_of(home, "/1/msg/get?k=u1&m=0") == b'{"ret":65535}'


PATHS = ["/1/server/get", "/2/server/get", "/server/get", "/1/msg/get", "/msg/get", "/1/time/get", "/time/get"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_the_wrong_method(home: World, path: str, method: str) -> None:
    """405, with the original's text, and what would be right."""
    answer = await home.public.ask(method, path, b"x")

    assert (answer.status, answer.body) == (405, b"Method Not Allowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/1/admin/push/private", "/3/server/get", "/v2/push"])
async def test_an_unknown_path(home: World, path: str) -> None:
    """404; nothing of the other listeners is here."""
    assert (await home.public.ask("GET", path)).status == 404


async def test_keep_alive_is_kept(home: World) -> None:
    """The original closes after each answer (U); we keep the connection, as HTTP/1.1 clients expect."""
    one = b"GET /1/msg/get?k=u1&m=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    raw = await home.public.exchange(one + one + get("/1/msg/get?k=u1&m=0"))

    assert raw.count(b'\r\n\r\n{"ret":0}') == 3


async def test_everything_kept_is_returned() -> None:
    """Far more than a page of the store: the answer is streamed, whole, in order (L20)."""
    async with open_world(config=web_config(page=100)) as world:
        await world.keep("u1", *[b'"%d"' % i for i in range(1, 1001)])

        answer = await world.public.ask("GET", "/1/msg/get?k=u1&m=250")
        page = await world.public.ask("GET", "/1/msg/get?k=u1&m=250&cb=f")
        old = await world.public.ask("GET", "/msg/get?key=u1&mid=250")

    assert answer.headers["transfer-encoding"] == "chunked"
    messages = answer.json()["data"]["msgs"]
    assert [(m["mid"], m["msg"]) for m in messages] == [(i, str(i)) for i in range(251, 1001)]
    assert page.body == b"f(" + answer.body + b")"
    assert len(old.json()["data"]["msgs"]) == 750
    assert list(old.json()) == ["data", "msg", "ret"]

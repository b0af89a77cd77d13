"""Whatever is asked of Mpush's HTTP side: it is answered in well-formed HTTP that says what was wrong, and breaks nothing."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mpush.fuzzing import (
    DEEP,
    JSON_VALUES,
    TEXTS,
    Answer,
    Witness,
    as_json,
    connected,
    fuzz,
    fuzzed_node,
    read_answer,
)
from tests.node import Node
from web.core.mpush_drafts import KNOWN

Place = tuple[Node, Witness]
REFUSALS = {400, 401, 403, 404, 405, 408, 413, 414, 415, 429, 431}
METHODS = ["GET", "POST", "PUT"]
OTHERS = ["HEAD", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "CONNECT", "TRACE"]
TYPES = [
    *["", "application/json", "application/x-www-form-urlencoded", "text/plain", "text/html"],
    *[
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "JSON",
        ";;;",
        "\xff",
    ],
]
NAMES = st.sampled_from(
    [
        *["target", "target,other", "target.send", "team.group", "target.group", "a,,b", "nobody"],
        *["target/json", "target/delayed", "target/status", "team.group/delayed", "", "/", "//x"],
        *[
            "target/delayed/" + "0" * 32,
            "x" * 201,
            "%",
            "target%",
            ".send",
            ".group",
            ",",
            "@mpush",
        ],
    ]
)
SEQUENCES = st.sampled_from(
    [
        *[
            "%00",
            "%ff",
            "%C3%28",
            "%ED%A0%80",
            "%",
            "%4",
            "%zz",
            "%25",
            "%2F",
            "%0A",
            "%0d%0a",
            "+",
            ";",
        ]
    ]
)
PATHS = (NAMES | TEXTS).map(lambda name: quote(name, safe="/,.%", errors="replace")) | st.lists(
    SEQUENCES | NAMES.map(quote), max_size=4
).map("".join)
FIELD_NAMES = st.sampled_from(
    [*sorted(KNOWN), "token", "since", "mid", "cmd", "auth", "from", "färbe"]
)
PAIRS = st.lists(
    st.tuples(
        FIELD_NAMES.map(quote),
        SEQUENCES | TEXTS.map(lambda text: quote(text, errors="replace")),
    ).map("=".join)
    | SEQUENCES,
    max_size=5,
).map("&".join)
COMMANDS = st.fixed_dictionaries(
    {"cmd": st.sampled_from(["AUTH", "MESSAGE", "MESSAGE_CALLBACK", "TEST_HTTP"]) | JSON_VALUES},
    optional={"data": JSON_VALUES | st.dictionaries(FIELD_NAMES, JSON_VALUES), "auth": JSON_VALUES},
)
OBJECTS = (st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=4) | COMMANDS).map(as_json)
NESTED = DEEP.flatmap(
    lambda deep: st.sampled_from(
        [
            deep,
            *[
                f'{{"{field}":{deep}}}'
                for field in ("title", "extra", "delay", "token", "cmd", "x")
            ],
        ]
    )
)
BODIES = st.binary(max_size=60) | PAIRS.map(str.encode) | (OBJECTS | NESTED).map(str.encode)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with fuzzed_node(tmp_path_factory.mktemp("requests")) as place:
        yield place


def ask(
    node: Node, method: str, target: str, body: bytes, headers: dict[str, str], *, chunks: int = 0
) -> Answer | None:
    """One request on a connection of its own; `chunks`: bytes of each piece of the body, 0 = in one."""
    fields = {"Host": "localhost", "Connection": "close"} | headers
    if chunks:
        fields["Transfer-Encoding"] = "chunked"
        parts = [body[at : at + chunks] for at in range(0, len(body), chunks)]
        body = b"".join(b"%x;note=x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\nT: x\r\n\r\n"
    else:
        fields.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items() if v), "", ""]
    with connected(node.url("web.mpush")) as connection:
        connection.send("\r\n".join(lines).encode("latin-1") + body)
        return read_answer(connection, method)


def check(answer: Answer | None, target: str) -> None:
    """It is well-formed, and a refusal says what was wrong."""
    assert answer is not None
    assert answer.status in {200, *REFUSALS}, (target, answer)
    kind = answer.headers.get("content-type", "")
    if kind.startswith(("application/json", "application/problem+json")):
        assert answer.body == b"" or json.loads(answer.body)  # TEST_HTTP is answered with nothing
    elif kind.startswith("application/x-ndjson"):
        assert all(isinstance(json.loads(line), dict) for line in answer.body.splitlines())
    else:
        assert kind.startswith("text/"), (target, answer)
        answer.body.decode()
    if answer.status in REFUSALS and kind.startswith("text/") and answer.body:
        assert b": " in answer.body, (target, answer)
    if answer.status == 405:
        assert "GET" in answer.headers["allow"]


def is_stream(path: str) -> bool:
    """A GET that would not end."""
    return path.endswith(("/json", "/sse"))


def test_any_request_is_answered(place: Place) -> None:
    """Paths, percent sequences, queries, bodies of any type, whole and in chunks: 200, or a refusal that names what was wrong."""
    node, witness = place

    @fuzz(80)
    @given(
        st.sampled_from(METHODS),
        PATHS,
        PAIRS,
        BODIES,
        st.sampled_from(TYPES),
        st.sampled_from(["", "application/json"]),
        st.sampled_from([0, 0, 1, 7]),
    )
    def holds(
        method: str, path: str, query: str, body: bytes, kind: str, accept: str, chunks: int
    ) -> None:
        target = f"/{path}?{query}" + ("&poll=1" if is_stream(path) else "")
        if method == "GET" and path.endswith("/sse"):
            return
        headers = {"Content-Type": kind, "Accept": accept}
        check(ask(node, method, target, body, headers, chunks=chunks), target)
        witness.check()

    holds()
    witness.fetch("target")
    witness.check()


def test_other_methods_and_large_bodies_are_named(place: Place) -> None:
    """405 with what is allowed; 413 with the bound; 400 with the parameter that nobody knows."""
    node, witness = place

    for method in OTHERS:
        answer = ask(node, method, "/target?title=x", b"", {})
        assert answer is not None
        assert answer.status == (403 if method == "OPTIONS" else 405)
    large = ask(node, "POST", "/target", b"x" * 70_000, {})
    huge = ask(node, "POST", "/target", b"", {"Content-Length": "99999999"})
    unknown = ask(node, "GET", "/target?t%C3%AFtle=x", b"", {})

    assert large is not None
    assert huge is not None
    assert unknown is not None
    assert (large.status, huge.status, unknown.status) == (413, 413, 400)
    assert b"65536" in large.body
    assert "tïtle" in unknown.body.decode()
    witness.check()


def test_what_is_no_http_ends_its_own_connection(place: Place) -> None:
    """Bytes of any kind, and requests that are framed twice, cut or mixed up: an answer, or the end."""
    node, witness = place
    lines = st.sampled_from(
        [
            *[
                b"GET /target?title=x HTTP/1.1\r\n",
                b"POST /target HTTP/1.1\r\n",
                b"GET / HTTP/9.9\r\n",
            ],
            *[b"Host: localhost\r\n", b"Host: a\r\nHost: b\r\n", b"\r\n", b"\n", b" folded\r\n"],
            *[b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 5, 6\r\n"],
            *[
                b"Transfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: x, chunked\r\n",
                b"5\r\nhello\r\n",
            ],
            *[
                b"0\r\n\r\n",
                b"ffffffffff\r\n",
                b"X: " + b"a" * 9000 + b"\r\n",
                b"Expect: 100-continue\r\n",
            ],
            *[b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"title=x", b'{"cmd":', b"\0"],
        ]
    )

    @fuzz(40)
    @given(st.lists(lines | st.binary(max_size=30), max_size=8))
    def holds(pieces: list[bytes]) -> None:
        with connected(node.url("web.mpush")) as connection:
            connection.send(b"".join(pieces))
            connection.end_writing()
            while (answer := read_answer(connection)) is not None:
                assert answer.status < 500 or answer.status in (501, 505), answer
        witness.check()

    holds()


def test_any_json_that_v2_pushes_reaches_a_device(place: Place) -> None:
    """Shown as text where it is no message of Mpush; nothing that was accepted cannot be delivered."""
    node, witness = place

    @fuzz(20)
    @given(JSON_VALUES.map(as_json) | NESTED)
    def holds(message: Any) -> None:
        body = f'{{"to":["other@mpush"],"msg":{message},"ttl":"10m"}}'.encode()
        with connected(node.url("web.api")) as connection:
            head = f"POST /v2/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            head += "Content-Type: application/json\r\n\r\n"
            connection.send(head.encode() + body)
            answer = read_answer(connection)
        assert answer is not None
        assert answer.status in {200, 400, 413, 422}, answer

    witness.device.send("")  # it stays
    holds()
    login = b'{"cmd":"AUTH","data":{"token":"mpush","name":"other"}}'
    assert witness.ask("POST", "/", login).status == 200
    witness.fetch("other")
    witness.check()

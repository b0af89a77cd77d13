"""POST /v2/push and /v2/push/stream, through the front door."""

import json
import time
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appmodel.core.names import parse_key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from tests.web.world import LIMIT, Answer, World, open_world, small_bodies


async def push(world: World, wanted: Any, **options: Any) -> Answer:
    body = wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode()
    return await world.api.ask("POST", "/v2/push", body, **options)


async def test_one_name(home: World) -> None:
    """The answer names the push, the message, whether it is stored and who was there."""
    home.comet.subscribers[parse_key("u1@user")] = 2

    answer = await push(home, {"to": "u1@user", "msg": {"a": 1}, "ttl": "10m"})

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    (result,) = said["results"]
    assert len(bytes.fromhex(said["id"])) == 16
    page = await home.store.fetch(parse_key("u1@user"), 0, limit=10)
    assert result == {
        "name": "u1@user",
        "id": page.messages[0].id,
        "stored": True,
        "online": 2,
    }


async def test_the_message_is_the_callers_text(home: World) -> None:
    """White space, number spellings and escapes are not ours to change."""
    text = b'{ "a" : 1.0e2, "b":"\\u00fc" , "c":12345678901234567890123 }'

    await push(home, b'{"to":"u1","ttl":60,"msg":' + text + b" }")

    assert await home.kept("u1") == [text]


@pytest.mark.parametrize("msg", [None, 0, "", False, [], {}])
async def test_any_json_is_a_message(home: World, msg: Any) -> None:
    """Also what is empty or null."""
    assert (await push(home, {"to": "u1", "msg": msg, "ttl": 60})).status == 200
    assert await home.kept("u1") == [json.dumps(msg).encode()]


@pytest.mark.parametrize(("ttl", "stored"), [(0, False), ("0s", False), (0.5, True), ("7d", True)])
async def test_ttl_decides_about_storing(home: World, ttl: Any, stored: bool) -> None:
    """Seconds or a duration; 0 = not stored."""
    answer = await push(home, {"to": "u1", "msg": 1, "ttl": ttl})

    assert answer.json()["results"][0]["stored"] is stored


async def test_many_names_are_one_call_and_one_batch(home: World) -> None:
    """10,000 names: one call of the owner with one push; a result per name, in order, each once."""
    names = [f"u{i}@user" for i in range(9_999)] + ["g1@qun"]

    answer = await push(
        home, {"to": [*names[:-1], "u1@user", names[-1]][:10_000], "msg": 1, "ttl": 60}
    )

    assert [r["name"] for r in answer.json()["results"]] == names[:-1]
    (call,) = home.comet.calls
    assert [len(one.keys) for one in call] == [9_999]


@pytest.mark.parametrize(
    ("wanted", "status", "field", "said"),
    [
        ({"msg": 1}, 422, "to", "expected a value"),
        ({"to": "u1"}, 422, "msg", "expected a value"),
        ({"to": "", "msg": 1}, 422, "to", "not empty"),
        ({"to": [], "msg": 1}, 422, "to", "at least one name"),
        ({"to": ["a", ""], "msg": 1}, 422, "to[1]", "not empty"),
        ({"to": ["a", 1], "msg": 1}, 422, "to[1]", "got 1"),
        ({"to": ["a", "x" * 256], "msg": 1}, 422, "to[1]", "255 bytes"),
        ({"to": ["k"] * 10_001, "msg": 1}, 413, None, "10000 names"),
        ({"to": "u1", "msg": 1, "ttl": -1}, 422, "ttl", "got -1"),
        ({"to": "u1", "msg": 1, "ttl": "soon"}, 422, "ttl", "got 'soon'"),
        ({"to": "u1", "msg": 1, "ttl": True}, 422, "ttl", "got True"),
        ({"to": "u1", "msg": 1, "ttl": 2**32}, 422, "ttl", "0 to 4294967295"),
        ({"to": "u1", "msg": 1, "idempotency_key": ""}, 422, "idempotency_key", "1 to 255"),
        ({"to": "u1", "msg": 1, "idempotency_key": "a\n"}, 422, "idempotency_key", "printable"),
        ({"to": "u1", "msg": 1, "idempotency_key": "x" * 256}, 422, "idempotency_key", "255"),
        ({"to": "u1", "msg": 1, "expire": 5}, 422, "expire", "no such field"),
        ({"to": "u1", "msg": "x" * 65_536}, 413, None, "65536 bytes"),
        ([], 422, "body", "expected object"),
        (b"", 422, "body", "JSON"),
        (b"{", 422, "body", "JSON"),
        (b'{"to":"u1","msg":"\xff"}', 422, "msg", "JSON"),
        (b'{"to":"u1","msg":' + b"[" * 200 + b"]" * 200 + b"}", 422, "msg", "128 nested"),
        (b" " * (1024**2 + 1), 413, None, "body"),
    ],
)  # fmt: skip
async def test_a_bad_push_names_the_field_and_changes_nothing(
    home: World, wanted: Any, status: int, field: str | None, said: str
) -> None:
    """A problem document: which field, which value, what was expected."""
    answer = await push(home, wanted)

    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status, problem["status"], problem.get("field")) == (status, status, field)
    assert said in problem["detail"]
    assert problem["title"]
    assert problem["type"] == f"/v2/docs#{problem['code']}"
    assert home.comet.calls == []


@pytest.mark.parametrize(
    ("trouble", "status"),
    [(NotStored("disk full"), 503), (OutcomeUnknown("cut"), 504), (PushError("bad"), 500)],
)
async def test_a_push_that_failed_everywhere_is_a_failed_call(
    home: World, trouble: PushError, status: int
) -> None:
    """The error decides the status; what may be tried again says when."""
    home.comet.trouble = trouble

    answer = await push(home, {"to": ["a", "b"], "msg": 1})

    assert (answer.status, answer.json()["code"]) == (status, trouble.code)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_no_comet_is_no_node() -> None:
    """503, at once."""
    async with open_world(comets=False) as world:
        answer = await push(world, {"to": "a", "msg": 1})

    assert (answer.status, answer.json()["code"]) == (503, "no_node")


async def test_a_repeated_idempotency_key_returns_the_first_answer(home: World) -> None:
    """Byte for byte, and nothing is pushed; another push under it is refused with 409."""
    wanted = {"to": ["a", "b"], "msg": 1, "ttl": 60, "idempotency_key": "order-17"}

    first = await push(home, wanted)
    again = await push(home, wanted)
    other = await push(home, wanted | {"msg": 2})

    assert first.body == again.body
    assert (other.status, other.json()["code"]) == (409, "conflict")
    assert await home.kept("a") == [b"1"]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=50),
        st.dictionaries(
            st.sampled_from(["to", "msg", "ttl", "idempotency_key", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
                lambda s: st.lists(s, max_size=3),
                max_leaves=4,
            ),
        ).map(lambda d: json.dumps(d).encode()),
    )
)
async def test_any_body_is_pushed_or_refused(body: bytes) -> None:
    """No body gives a 5xx, and what is refused was not pushed."""
    async with open_world() as world:
        answer = await push(world, body)

        assert answer.status in {200, 413, 422}
        assert bool(world.comet.calls) == (answer.status == 200)


async def stream(world: World, *lines: bytes, end: bytes = b"\n", **options: Any) -> list[Any]:
    answer = await world.api.ask("POST", "/v2/push/stream", b"\n".join(lines) + end, **options)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


def line(to: str, msg: Any = 1, **more: Any) -> bytes:
    return json.dumps({"to": to, "msg": msg, **more}).encode()


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\n\n\n"])
async def test_one_answer_per_line_in_order(home: World, end: bytes) -> None:
    """As many answers as lines that are not blank, whatever the last one ends with."""
    said = await stream(
        home, line("a", ttl=60), b"", line("b"), b"  ", line("a", 2, ttl=60), end=end
    )

    assert [one["results"][0]["name"] for one in said] == ["a", "b", "a"]
    assert await home.kept("a") == [b"1", b"2"]


async def test_lines_that_came_together_are_one_call(home: World) -> None:
    """One call of the owner for a batch of lines, in their order."""
    await stream(home, *[line("a", i, ttl=60) for i in range(100)])

    assert sum(map(len, home.comet.calls)) == 100
    assert len(home.comet.calls) <= 3
    assert await home.kept("a") == [b"%d" % i for i in range(100)]


async def test_a_bad_line_is_an_error_line_and_the_stream_goes_on() -> None:
    """It has the line's number and the field; the lines around it are pushed."""
    async with open_world(config=small_bodies()) as world:
        said = await stream(world, line("a"), b"", b"nonsense", line(""), b"x" * 5000, line("b"))

    errors = [one["error"] for one in said if "error" in one]
    assert [("error" in one) for one in said] == [False, True, True, True, False]
    assert [(e["line"], e["code"], e.get("field")) for e in errors] == [
        (3, "bad_input", "body"),
        (4, "bad_input", "to"),
        (5, "too_large", None),
    ]


async def test_a_failing_store_fails_its_lines_only(home: World) -> None:
    """The stream outlives the store's trouble."""
    home.comet.trouble = NotStored("disk full")

    said = await stream(home, line("a", ttl=60), line("b", ttl=60))

    assert [one["error"]["code"] for one in said] == ["not_stored", "not_stored"]


async def test_idempotency_keys_in_a_stream(home: World) -> None:
    """A repeated line is answered as the first; the push happened once."""
    wanted = line("a", ttl=60, idempotency_key="k")

    first, again, other = await stream(home, wanted, wanted, line("a", 2, idempotency_key="k"))

    assert first == again
    assert other["error"]["code"] == "conflict"
    assert await home.kept("a") == [b"1"]


async def test_answers_come_while_lines_are_sent(home: World) -> None:
    """Full duplex: a sender may wait for each answer before it sends the next line."""
    head = b"POST /v2/push/stream HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with trio.fail_after(LIMIT):
        async with await trio.open_tcp_stream(home.api.host, home.api.port) as sender:
            await sender.send_all(head)
            for number in range(3):
                data = line("a", number) + b"\n"
                await sender.send_all(b"%x\r\n%b\r\n" % (len(data), data))
                received = b""
                while b'"online":0}]}\n' not in received:
                    received += await sender.receive_some()
            await sender.send_all(b"0\r\n\r\n")
            while not received.endswith(b"0\r\n\r\n"):
                received += await sender.receive_some()

    assert len(home.comet.calls) == 3


async def test_a_token_that_expires_ends_the_pushing() -> None:
    """The credential is weighed for each batch: lines after its end are refused, not pushed."""
    async with open_world(auth="on") as world:
        token = world.token("push", ttl=60)
        caller = world.context.credentials.verify_token(token, now=time.time())
        head = (
            "POST /v2/push/stream HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        )
        data = line("a", ttl=60) + b"\n"
        piece = b"%x\r\n%b\r\n" % (len(data), data)
        with trio.fail_after(LIMIT):
            async with await trio.open_tcp_stream(world.api.host, world.api.port) as sender:
                await sender.send_all(head.encode() + piece)
                received = b""
                while b'"online":0}]}\n' not in received:
                    received += await sender.receive_some()
                await world.revoke(f"token:{caller.id}")
                await sender.send_all(piece + b"0\r\n\r\n")
                while not received.endswith(b"0\r\n\r\n"):
                    received += await sender.receive_some()

        assert b'"code":"unauthorized"' in received
        assert await world.kept("a") == [b"1"]


async def test_an_unavailable_comet_is_retried_within_the_deadline() -> None:
    """A comet that comes back within web.push_timeout costs the caller some time and nothing else."""
    async with open_world() as world, trio.open_nursery() as nursery:
        world.comet.trouble = Unavailable("restarting")

        async def recover() -> None:
            while not world.comet.refused:
                await trio.lowlevel.checkpoint()
            world.comet.trouble = None

        nursery.start_soon(recover)
        answer = await push(world, {"to": "a", "msg": 1})

    assert answer.status == 200

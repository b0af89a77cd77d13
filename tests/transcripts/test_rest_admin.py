"""Byte dialogues of the admin REST: spec/gopush.md 2.4, row by row."""

import re

import pytest

from appmodel.errors import NotStored, Unavailable
from tests.web.world import World, open_world

PUSHES = ["/1/admin/push/private", "/admin/push"]
DELETES = ["/1/admin/msg/del", "/admin/msg/clean"]
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: application/json;charset=utf-8\r\n"
    b'X-Content-Type-Options: nosniff\r\n\r\n{"ret":0}'
)


async def post(world: World, target: str, body: bytes, **headers: str) -> bytes:
    """The body of the answer, whose status is always 200."""
    answer = await world.admin.ask("POST", target, body, headers=headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    return answer.body


@pytest.mark.parametrize("path", PUSHES)
async def test_a_push_byte_for_byte(home: World, path: str) -> None:
    """Key and expire in the query, the whole body is the message; `gid` is ignored; answers in order."""
    push = (
        b"POST %b?key=u1@user&expire=60&gid=3 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\n{"test": 1} '
    ) % path.encode()
    last = push.replace(b"Host:", b"Connection: close\r\nHost:")

    raw = await home.admin.exchange(push + last)

    plain = re.sub(rb"Date: [^\r]*\r\n", b"", raw).replace(b"Connection: close\r\n", b"")
    assert plain == OK + OK
    assert await home.kept("u1@user") == [b'{"test": 1} ', b'{"test": 1} ']


@pytest.mark.parametrize(
    "body", [b"{}", b"0", b'"x"', b"null", b"[]", b' {"a":[1,2]}\n', '"ü"'.encode()]
)
async def test_any_json_is_a_message(home: World, body: bytes) -> None:
    """It is kept as it was written."""
    assert await post(home, "/1/admin/push/private?key=u1&expire=60", body) == b'{"ret":0}'
    assert await home.kept("u1") == [body]


async def test_expire_zero_is_not_stored(home: World) -> None:
    """Online delivery only; nobody there is no error."""
    assert await post(home, "/1/admin/push/private?key=u1&expire=0", b"{}") == b'{"ret":0}'

    assert await home.kept("u1") == []
    assert len(home.comet.calls) == 1


async def test_the_longest_expire(home: World) -> None:
    """An unsigned 32-bit number of seconds."""
    target = "/1/admin/push/private?key=u1&expire=4294967295"

    assert await post(home, target, b"{}") == b'{"ret":0}'


@pytest.mark.parametrize("path", PUSHES)
@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("key=u1", b"{}"),
        ("key=u1&expire=", b"{}"),
        ("key=u1&expire=x", b"{}"),
        ("key=u1&expire=-1", b"{}"),
        ("key=u1&expire=%2B1", b"{}"),
        ("key=u1&expire=1.5", b"{}"),
        ("key=u1&expire=1s", b"{}"),
        ("key=u1&expire=4294967296", b"{}"),
        ("key=u1&expire=99999999999999999999999", b"{}"),
        ("expire=60", b"{}"),
        ("key=&expire=60", b"{}"),
        ("key=a%0Ab&expire=60", b"{}"),
        ("key=" + "k" * 256 + "&expire=60", b"{}"),
        ("key=u1&expire=60", b""),
        ("key=u1&expire=0", b""),
        ("key=u1&expire=60", b"hello"),
        ("key=u1&expire=60", b'{"a":1'),
        ("key=u1&expire=60", b"{'a':1}"),
        ("key=u1&expire=60", b'{"a":1}{}'),
        ("key=u1&expire=60", b"NaN"),
        ("key=u1&expire=60", b'"\xff"'),
        ("key=u1&expire=60", b'"\n"'),
        ("key=u1&expire=60", b"[" * 129 + b"]" * 129),
        ("key=u1&expire=60", b"[" * 30_000),
        ("key=u1&expire=60", b'"' + b"x" * 65_536 + b'"'),
    ],
)
async def test_a_bad_push_is_65534_and_changes_nothing(
    home: World, path: str, query: str, body: bytes
) -> None:
    """Whatever is wrong with it, nobody saw it and nothing is kept (L10)."""
    assert await post(home, f"{path}?{query}", body) == b'{"ret":65534}'

    assert home.comet.calls == []


async def test_no_comet_is_1001() -> None:
    """As in the original, for one key and for many."""
    async with open_world(comets=False) as world:
        single = await post(world, "/1/admin/push/private?key=u1&expire=0", b"{}")
        many = await post(world, "/1/admin/push/mprivate?expire=0", b'{"m":"{}","k":"a,b"}')

    assert (single, many) == (b'{"ret":1001}', b'{"ret":1001}')


async def test_a_comet_s_error_is_65535(home: World) -> None:
    """Any error of the comet or the store."""
    home.comet.trouble = NotStored("disk full")

    assert await post(home, "/1/admin/push/private?key=u1&expire=60", b"{}") == b'{"ret":65535}'


async def test_many_keys_are_one_push(home: World) -> None:
    """One call of the owner, each key once, as the comet of the original ignores duplicates."""
    body = b'{"m":"{\\"test\\": 1}","k":"u1,u2,u1@user,u2"}'

    assert await post(home, "/1/admin/push/mprivate?expire=60", body) == b'{"ret":0}'

    (call,) = home.comet.calls
    assert [str(key) for push in call for key in push.keys] == ["u1", "u2", "u1@user"]
    assert await home.kept("u2") == [b'{"test": 1}']


async def test_a_list_can_hold_keys_with_commas(home: World) -> None:
    """Ours: joined by commas they cannot be addressed (L25)."""
    body = b'{"m":"1","k":["a,b","c"]}'

    assert await post(home, "/1/admin/push/mprivate?expire=60", body) == b'{"ret":0}'

    assert await home.kept("a,b") == [b"1"]
    assert await home.kept("c") == [b"1"]


async def test_other_text_members_are_ignored(home: World) -> None:
    """The original decodes a map of texts and takes what it needs."""
    body = b'{"m":"1","k":"a","x":"y"}'

    assert await post(home, "/1/admin/push/mprivate?expire=60", body) == b'{"ret":0}'


async def test_keys_that_nobody_has_are_failed_keys(home: World) -> None:
    """The others got it, and `ret` stays 0; empty ones are skipped without a word."""
    bad = "x" * 256
    body = b'{"m":"1","k":"a,,%b,b,"}' % bad.encode()

    answer = await post(home, "/1/admin/push/mprivate?expire=60", body)

    assert answer == b'{"data":{"fk":["%b"]},"ret":0}' % bad.encode()
    assert await home.kept("a") == await home.kept("b") == [b"1"]


async def test_the_keys_of_a_failed_owner_are_failed_keys(home: World) -> None:
    """`ret` stays 0: inspect `fk`."""
    home.comet.trouble = NotStored("disk full")
    body = b'{"m":"1","k":"a,b"}'

    answer = await post(home, "/1/admin/push/mprivate?expire=60", body)

    assert answer == b'{"data":{"fk":["a","b"]},"ret":0}'


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("expire=60", b""),
        ("expire=60", b"m=1&k=2"),
        ("expire=60", b"[]"),
        ("expire=60", b"{}"),
        ("expire=60", b'{"m":"1"}'),
        ("expire=60", b'{"k":"a"}'),
        ("expire=60", b'{"m":"","k":"a"}'),
        ("expire=60", b'{"m":"1","k":""}'),
        ("expire=60", b'{"m":"1","k":[]}'),
        ("expire=60", b'{"m":{"a":1},"k":"a"}'),
        ("expire=60", b'{"m":["1"],"k":"a"}'),
        ("expire=60", b'{"m":"1","k":"a","x":1}'),
        ("expire=60", b'{"m":"1","k":"a","x":["y"]}'),
        ("expire=60", b'{"m":"1","k":["a",1]}'),
        ("expire=60", b'{"m":"not json","k":"a"}'),
        ("expire=60", b'{"m":"\xff","k":"a"}'),
        ("expire=60", b'{"m":"1","k":"a"'),
        ("", b'{"m":"1","k":"a"}'),
        ("expire=-1", b'{"m":"1","k":"a"}'),
        ("expire=60", b'{"m":"1","k":"%b"}' % b",".join([b"k"] * 10_001)),
    ],
)
async def test_a_bad_multi_push_is_65534_and_changes_nothing(
    home: World, query: str, body: bytes
) -> None:
    """Any member that is no text, an empty one, no JSON, too many keys."""
    assert await post(home, f"/1/admin/push/mprivate?{query}", body) == b'{"ret":65534}'

    assert home.comet.calls == []


@pytest.mark.parametrize("path", DELETES)
async def test_delete_removes_what_is_kept_for_the_key(home: World, path: str) -> None:
    """A form, whatever the content type says; other keys keep theirs."""
    await home.keep("u1@user", b"1", b"2")
    await home.keep("u2@user", b"3")

    answer = await post(home, path, b"key=u1%40user", **{"Content-Type": "text/plain"})

    assert answer == b'{"ret":0}'
    assert await home.kept("u1@user") == []
    assert await home.kept("u2@user") == [b"3"]


@pytest.mark.parametrize("path", DELETES)
@pytest.mark.parametrize("body", [b"", b"key=", b"k=u1", b"key=%ff", b"\xff\xfe", b'{"key":"u1"}'])
async def test_a_bad_delete_is_65534_and_changes_nothing(
    home: World, path: str, body: bytes
) -> None:
    """The key is missing or is none."""
    await home.keep("u1", b"1")

    assert await post(home, f"{path}?key=u1", body) == b'{"ret":65534}'

    assert await home.kept("u1") == [b"1"]


async def test_a_store_that_is_away_is_65535(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No message node, or its error."""

    async def away(*_: object) -> None:
        raise Unavailable("no message node answers")

    monkeypatch.setattr(home.store, "delete", away)

    assert await post(home, "/1/admin/msg/del", b"key=u1") == b'{"ret":65535}'


@pytest.mark.parametrize("path", [*PUSHES, "/1/admin/push/mprivate", *DELETES])
async def test_the_wrong_method(home: World, path: str) -> None:
    """405, with the original's text."""
    answer = await home.admin.ask("GET", path)

    assert (answer.status, answer.body) == (405, b"Method Not Allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/1/msg/get", "/1/admin/push", "/v2/push"])
async def test_an_unknown_path(home: World, path: str) -> None:
    """404; nothing of the other listeners is here."""
    assert (await home.admin.ask("POST", path, b"{}")).status == 404


async def test_a_refusal_says_why_in_a_header(home: World) -> None:
    """Which field, which value, what was expected; nothing of it can break the header."""
    target = "/1/admin/push/private?key=u1&expire=%0D%0AX-Evil%3A1%C3%BC"

    answer = await home.admin.ask("POST", target, b"{}")

    assert "x-evil" not in answer.headers
    assert answer.headers["x-appmsg-error"].startswith(r"expire: got '\r\nX-Evil:1\xfc', expected")

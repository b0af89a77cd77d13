"""The breadth of /v2, in Quart on Hypercorn behind the front door; and its document, held against it."""

import json
import re
import time
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appmodel.core.names import parse_key
from appmodel.errors import Unavailable
from tests.web import (
    documented_applications,
    documented_files,
    documented_groups,
    documented_messages,
    documented_organisation,
    documented_people,
    documented_sessions,
)
from tests.web.documented import Table
from tests.web.schema import mismatch
from tests.web.world import Answer, World, open_world, small_bodies


def v2(path: str, **query: Any) -> str:
    return f"/v2/{path}?{urlencode(query, doseq=True)}" if query else f"/v2/{path}"


async def post(world: World, path: str, wanted: Any, **options: Any) -> Answer:
    body = wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode()
    return await world.api.ask("POST", f"/v2/{path}", body, **options)


async def test_messages_are_paged_by_a_cursor(home: World) -> None:
    """`next` is the `after` of the next page, null at the end; ids ascend, nothing is left out."""
    await home.keep("u1@user", *[b'{"n": %d}' % i for i in range(1, 8)])

    pages: list[Any] = []
    after: Any = 0
    while after is not None:
        answer = await home.api.ask("GET", v2("messages", key="u1@user", after=after, limit=3))
        pages.append(answer.json())
        after = pages[-1]["next"]

    assert [len(page["messages"]) for page in pages] == [3, 3, 1]
    read = [message for page in pages for message in page["messages"]]
    assert [(m["id"], m["msg"]) for m in read] == [(i, {"n": i}) for i in range(1, 8)]
    assert all(m["expires_at"] > time.time() for m in read)


async def test_messages_are_the_callers_text(home: World) -> None:
    """As they were pushed."""
    await home.keep("u1", b'{ "a" : 1.0e2 }')

    answer = await home.api.ask("GET", v2("messages", key="u1"))

    assert b'"msg":{ "a" : 1.0e2 }' in answer.body


async def test_deleting(home: World) -> None:
    """Some by their ids, or all; how many there were."""
    await home.keep("u1", b"1", b"2", b"3")

    some = await home.api.ask("DELETE", v2("messages", key="u1", ids="1,3,99"))
    assert (some.json(), await home.kept("u1")) == ({"deleted": 2}, [b"2"])

    every = await home.api.ask("DELETE", v2("messages", key="u1"))
    assert (every.json(), await home.kept("u1")) == ({"deleted": 1}, [])


async def test_presence_of_many(home: World) -> None:
    """One result per key, in the order asked, by query or by body."""
    home.comet.subscribers[parse_key("b")] = 3
    expected = {
        "results": [
            {"key": "a", "online": 0, "acknowledged": 0},
            {"key": "b", "online": 3, "acknowledged": 0},
        ]
    }

    by_query = await home.api.ask("GET", v2("presence", key=["a", "b"]))
    by_body = await post(home, "presence", {"keys": ["a", "b"]})

    assert by_query.json() == by_body.json() == expected


async def test_presence_without_its_owner(home: World) -> None:
    """503 if nobody could be asked."""
    home.comet.trouble = Unavailable("restarting")

    answer = await home.api.ask("GET", v2("presence", key="a"))

    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_ticket_opens_its_key(guarded: World) -> None:
    """Issued for a key and a time, in the caller's realm, it reads that key's messages."""
    await guarded.keep("u1@user", b"1", realm="t7")
    token = guarded.token("ticket", realm="t7")

    answer = await post(guarded, "tickets", {"key": "u1@user", "ttl": "10m"}, bearer=token)
    said = answer.json()
    read = await guarded.api.ask("GET", v2("messages", key="u1@user"), bearer=said["ticket"])

    assert answer.status == 201
    assert said["key"] == "u1@user"
    assert 590 < said["expires_at"] - time.time() <= 600
    assert [m["msg"] for m in read.json()["messages"]] == [1]


async def test_a_revoked_ticket_is_void_at_once_here(guarded: World) -> None:
    """By key: all that were issued; one issued afterwards is good. By id: that one."""
    token = guarded.token("admin")
    first = (await post(guarded, "tickets", {"key": "u1"}, bearer=token)).json()

    revoked = await guarded.api.ask("DELETE", v2("tickets", key="u1"), bearer=token)
    second = (await post(guarded, "tickets", {"key": "u1"}, bearer=token)).json()
    statuses = [
        (await guarded.api.ask("GET", v2("messages", key="u1"), bearer=each["ticket"])).status
        for each in (first, second)
    ]
    by_id = await guarded.api.ask("DELETE", v2("tickets", id=second["id"]), bearer=token)
    after = await guarded.api.ask("GET", v2("messages", key="u1"), bearer=second["ticket"])

    assert (revoked.status, revoked.body) == (204, b"")
    assert statuses == [401, 200]
    assert (by_id.status, after.status) == (204, 401)


async def test_a_revocation_is_heard_of_elsewhere() -> None:
    """Another node reads it from the ledger: here, the next poll of a node that starts later."""
    async with open_world(auth="on") as world:
        await world.store.revoke("key:u1", issued_before=time.time() + 1, kept_until=9e9)
        ticket = world.ticket("u1")
        await world.revoke("key:u2")

        answer = await world.public.ask("GET", f"/1/msg/get?k=u1&m=0&token={ticket}")

    assert answer.body == b'{"ret":65533}'


SCOPES = [
    ("GET", "messages?key=u1", b"", "read"),
    ("DELETE", "messages?key=u1", b"", "admin"),
    ("GET", "presence?key=u1", b"", "read"),
    ("GET", "presence?key=u1", b"", "push"),
    ("POST", "presence", b'{"keys":["u1"]}', "read"),
    ("POST", "presence", b'{"keys":["u1"]}', "push"),
    ("POST", "tickets", b'{"key":"u1"}', "ticket"),
    ("DELETE", "tickets?key=u1", b"", "ticket"),
    ("DELETE", "tickets?id=x", b"", "admin"),
]


@pytest.mark.parametrize(("method", "path", "body", "scope"), SCOPES)
async def test_scopes(guarded: World, method: str, path: str, body: bytes, scope: str) -> None:
    """None: 401 with how to ask. Another: 403. The right one, and admin, pass."""
    rights = {s for m, p, _, s in SCOPES if (m, p) == (method, path)}
    wrong = {"push", "read", "ticket"} - rights

    async def ask(bearer: str) -> Answer:
        return await guarded.api.ask(method, f"/v2/{path}", body, bearer=bearer)

    nobody, other = await ask(""), await ask(guarded.token(*wrong))
    expired = await ask(guarded.token("admin", ttl=60, ago=61))
    right, admin = await ask(guarded.token(scope)), await ask(guarded.token("admin"))

    assert (nobody.status, expired.status, other.status) == (401, 401, 403)
    assert nobody.headers["www-authenticate"] == 'Bearer realm="appmsg"'
    assert right.status == admin.status
    assert right.status in {200, 201, 204}


async def test_a_realm_sees_only_itself(guarded: World) -> None:
    """Reading, deleting, presence: the same name in another realm is another key (law 7)."""
    await guarded.keep("u1", b'"ours"')
    guarded.comet.subscribers[parse_key("u1")] = 1
    token = guarded.token("admin", realm="t7")

    read = await guarded.api.ask("GET", v2("messages", key="u1"), bearer=token)
    deleted = await guarded.api.ask("DELETE", v2("messages", key="u1"), bearer=token)
    presence = await guarded.api.ask("GET", v2("presence", key="u1"), bearer=token)

    assert read.json()["messages"] == []
    assert deleted.json() == {"deleted": 0}
    assert presence.json()["results"][0]["online"] == 0
    assert await guarded.kept("u1") == [b'"ours"']


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("GET", "messages", b"", "key"),
        ("GET", "messages?key=", b"", "key"),
        ("GET", "messages?key=%00", b"", "key"),
        ("GET", "messages?key=a&after=x", b"", "after"),
        ("GET", "messages?key=a&after=-1", b"", "after"),
        ("GET", f"messages?key=a&after={2**53}", b"", "after"),
        ("GET", "messages?key=a&limit=0", b"", "limit"),
        ("GET", "messages?key=a&limit=1001", b"", "limit"),
        ("GET", "messages?key=a&aftr=1", b"", "aftr"),
        ("DELETE", "messages?key=a&ids=", b"", "ids"),
        ("DELETE", "messages?key=a&ids=1,x", b"", "ids"),
        ("DELETE", "messages?ids=1", b"", "key"),
        ("DELETE", "messages?key=a&id=1", b"", "id"),
        ("GET", "presence", b"", "key"),
        ("GET", "presence?key=a&key=", b"", "key[1]"),
        ("POST", "presence", b'{"keys":[]}', "keys"),
        ("POST", "presence", b'{"keys":"a"}', "keys"),
        ("POST", "presence", b'{"key":"a"}', "key"),
        ("POST", "presence", b"[", "body"),
        ("POST", "tickets", b"{}", "key"),
        ("POST", "tickets", b'{"key":""}', "key"),
        ("POST", "tickets", b'{"key":"a","ttl":0}', "ttl"),
        ("POST", "tickets", b'{"key":"a","ttl":"31d"}', "ttl"),
        ("POST", "tickets", b'{"key":"a","ttl":-1}', "ttl"),
        ("POST", "tickets", b'{"key":"a","ttl":"x"}', "ttl"),
        ("POST", "tickets?x=1", b'{"key":"a"}', "x"),
        ("DELETE", "tickets", b"", "key"),
        ("DELETE", "tickets?key=a&id=b", b"", "key"),
        ("DELETE", "tickets?id=" + "x" * 65, b"", "id"),
    ],
)
async def test_bad_input_names_the_field_and_changes_nothing(
    home: World, method: str, path: str, body: bytes, field: str
) -> None:
    """422, a problem document, and everything is as it was."""
    await home.keep("a", b"1")

    answer = await home.api.ask(method, f"/v2/{path}", body)

    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert await home.kept("a") == [b"1"]
    assert await home.store.revocations(0) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v2/nothing", 404), ("GET", "/nothing", 404), ("PUT", "/v2/messages", 405)],
)
async def test_what_is_not_there(home: World, method: str, path: str, status: int) -> None:
    """Problem documents too, and 405 says what is."""
    answer = await home.api.ask(method, path)

    assert answer.status == status
    assert answer.json()["code"] == f"http_{status}"
    assert ("allow" in answer.headers) == (status == 405)


async def test_a_body_over_the_limit() -> None:
    """413, whether its length is told or not."""
    async with open_world(config=small_bodies()) as world:
        told = await post(world, "presence", b"x" * 1001)
        head = b"POST /v2/presence HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (1001, b"x" * 1001)
        untold = await world.api.exchange(head + b"Connection: close\r\n\r\n" + chunk)

    assert (told.status, told.json()["code"]) == (413, "too_large")
    assert b" 413 " in untold.split(b"\r\n", 1)[0]


async def test_a_page_of_another_site(home: World) -> None:
    """Refused on every operation, and its preflight gets no permission."""
    await home.keep("u1", b"1")
    for method, path, body, _ in SCOPES:
        evil = {"Origin": "https://evil.example"}
        refused = await home.api.ask(method, f"/v2/{path}", body, headers=evil)
        preflight = await home.api.ask("OPTIONS", f"/v2/{path}", headers=evil)
        ours = {"Origin": f"http://localhost:{home.api.port}"}
        allowed = await home.api.ask("OPTIONS", f"/v2/{path}", headers=ours)

        assert refused.status == 403
        assert "access-control-allow-origin" not in {**refused.headers, **preflight.headers}
        assert allowed.status == 204
        assert allowed.headers["access-control-allow-origin"] == ours["Origin"]
    assert await home.kept("u1") == [b"1"]


async def test_one_connection_may_use_both_halves(home: World) -> None:
    """A hot route after a broad one on a kept connection: Hypercorn has it mounted."""
    push = b'{"to":"u1","msg":1,"ttl":60}'
    broad = b"GET /v2/messages?key=u1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    hot = b"POST /v2/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    last = broad.replace(b"Host:", b"Connection: close\r\nHost:")

    raw = await home.api.exchange(hot % (len(push), push) + broad + hot % (len(push), push) + last)

    assert raw.count(b"HTTP/1.1 200") == 4
    assert await home.kept("u1") == [b"1", b"1"]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["messages", "presence", "tickets"]),
    query=st.dictionaries(
        st.sampled_from(["key", "after", "limit", "ids", "id", "token", "x"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        max_size=3,
    ),
    body=st.binary(max_size=30) | st.sampled_from([b'{"key":"a"}', b'{"keys":["a"]}']),
)
async def test_any_request_is_answered_or_refused(
    method: str, path: str, query: dict[str, str], body: bytes
) -> None:
    """No query and no body gives a 5xx, and what is refused deleted and revoked nothing."""
    async with open_world() as world:
        await world.keep("a", b"1")
        parts = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())

        answer = await world.api.ask(method, f"/v2/{path}?{parts}", body)

        assert answer.status in {200, 201, 204, 405, 413, 422}
        if answer.status >= 400:
            assert await world.kept("a") == [b"1"]
            assert await world.store.revocations(0) == []


TABLES = [
    Table(each.prepare, each.CALLS)
    for each in (
        documented_messages,
        documented_organisation,
        documented_groups,
        documented_applications,
        documented_people,
        documented_sessions,
        documented_files,
    )
]
"""Each part's calls: see tests/web/documented.py."""


async def test_the_document_is_true(home: World) -> None:
    """Every operation that it lists is called, and the answers have the shapes that it says."""
    document = (await home.api.ask("GET", "/v2/openapi.json")).json()
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert document["openapi"] == "3.1.0"
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)

    succeeded = set()
    for table in TABLES:
        await table.prepare(home)
        for call in table.calls:
            bearer = await home.context.tokens.issue(call.user) if call.user else ""
            answer = await home.api.ask(call.method, call.path, call.body, bearer=bearer)
            which = (call.method, template_of(document, call.path))
            assert not undocumented(document, operations[which], answer), (call, answer.body)
            if answer.status < 300:
                succeeded.add(which)

    assert operations.keys() == succeeded


def template_of(document: Any, path: str) -> str:
    """The documented path that a request's path is one of; the one with the fewest places."""
    bare = path.partition("?")[0]
    fitting = [
        template
        for template in document["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare)
    ]
    assert fitting, f"{path} is not documented"
    return str(min(fitting, key=lambda template: template.count("{")))


def undocumented(document: Any, operation: Any, answer: Answer) -> str | None:
    """What an answer has that the document does not say; None if nothing."""
    said = operation["responses"].get(str(answer.status))
    if said is None:
        return f"status {answer.status}"
    if "$ref" in said:
        said = document["components"]["responses"][said["$ref"].rsplit("/", 1)[1]]
    content = said.get("content")
    if content is None:
        return "a body" if answer.body else None
    media = content.get(answer.headers["content-type"].partition(";")[0])
    if media is None:
        return answer.headers["content-type"]
    if "ndjson" in answer.headers["content-type"]:
        schema = {
            "anyOf": [{"$ref": f"#/components/schemas/{n}"} for n in ("PushAnswer", "StreamError")]
        }
        found = [mismatch(document, schema, json.loads(line)) for line in answer.body.splitlines()]
        return next(filter(None, found), None)
    return mismatch(document, media["schema"], answer.json())


async def test_pages_load_nothing_from_elsewhere(home: World) -> None:
    """The demo, the description and their files: a strict policy, no inline script, no foreign address."""
    for path in ("/", "/v2/docs"):
        page = await home.api.ask("GET", path)
        policy = page.headers["content-security-policy"]
        again = await home.api.ask("GET", path, headers={"If-None-Match": page.headers["etag"]})

        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert b"<script>" not in page.body
        assert b"https://" not in page.body
        assert (again.status, again.body) == (304, b"")


async def test_the_node_can_be_watched(home: World) -> None:
    """/metrics, /healthz and /readyz are on 8094; not ready says why."""
    await post(home, "push", {"to": "a", "msg": 1})

    metrics = await home.api.ask("GET", "/metrics")
    healthy = await home.api.ask("GET", "/healthz")

    assert b"web_pushes_total 1.0" in metrics.body
    assert b'web_http_answers_total{class="2xx",listener="api"} 1.0' in metrics.body
    assert healthy.status == 200
    assert (await home.api.ask("GET", "/readyz")).status == 200
    async with open_world(comets=False) as lonely:
        answer = await lonely.api.ask("GET", "/readyz")
        assert answer.status == 503
        assert answer.json()["reasons"] == {"web.comets": "no comet is registered"}


async def test_a_refusal_does_not_cost_the_connection(home: World) -> None:
    """The body of what is refused is read: the next request on the connection is answered."""
    host = f"{home.api.host}:{home.api.port}"
    head = f"POST /v2/groups?zz=1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3000\r\n\r\n"
    last = f"GET /v2/openapi.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    async with await trio.open_tcp_stream(home.api.host, home.api.port) as client:
        await client.send_all(head.encode())
        with trio.move_on_after(0.3):  # what is refused early is refused by now
            assert not await client.receive_some(), "refused before its body was there"
        await client.send_all(b" " * 3000)
        said = b""
        while b'"status":422' not in said:
            piece = await client.receive_some()
            assert piece, said
            said += piece
        await client.send_all(last.encode())
        answer = b"".join([piece async for piece in client])

    assert answer.startswith(b"HTTP/1.1 200 ")

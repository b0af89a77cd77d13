"""Who may do what, on every route: with no credential, a wrong one, and one for something else."""

import time
from dataclasses import dataclass

import pytest

from appmodel.core.credentials import Credentials
from appmodel.core.names import parse_key
from appmodel.core.revocations import key_subject
from tests.web.world import Answer, World


@dataclass(frozen=True)
class Call:
    """A request that is right but for its credential."""

    door: str
    method: str
    target: str
    scope: str
    body: bytes = b""

    async def ask(self, world: World, bearer: str = "") -> Answer:
        door = world.doors[f"web.{self.door}"]
        return await door.ask(self.method, self.target, self.body, bearer=bearer)


CALLS = [
    Call("admin", "POST", "/1/admin/push/private?key=u1&expire=60", "push", b"1"),
    Call("admin", "POST", "/admin/push?key=u1&expire=60", "push", b"1"),
    Call("admin", "POST", "/1/admin/push/mprivate?expire=60", "push", b'{"m":"1","k":"u1"}'),
    Call("admin", "POST", "/1/admin/msg/del", "admin", b"key=u1"),
    Call("admin", "POST", "/admin/msg/clean", "admin", b"key=u1"),
    Call("public", "GET", "/1/msg/get?k=u1&m=0", "read"),
    Call("public", "GET", "/msg/get?key=u1&mid=0", "read"),
    Call("api", "POST", "/v2/push", "push", b'{"to":"u1","msg":1,"ttl":60}'),
    Call("api", "POST", "/v2/push/stream", "push", b'{"to":"u1","msg":1,"ttl":60}'),
]
each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.target.split("?")[0])


def refused(answer: Answer, call: Call, status: int = 401) -> bool:
    """Whether it was refused for its credential, in the manner of its listener."""
    if call.door != "api":
        return answer.status == 200 and b'"ret":65533' in answer.body
    return answer.status == status and answer.headers["content-type"].endswith("problem+json")


@each_call
async def test_no_credential(guarded: World, call: Call) -> None:
    """65533, or 401 with how to ask; nothing happened (W11)."""
    await guarded.keep("u1", b"0")

    answer = await call.ask(guarded)

    assert refused(answer, call)
    assert call.door != "api" or answer.headers["www-authenticate"].startswith("Bearer ")
    assert await guarded.kept("u1") == [b"0"]


@each_call
@pytest.mark.parametrize("kind", ["rubbish", "other cluster", "expired", "dated ahead", "revoked"])
async def test_a_bad_token(guarded: World, call: Call, kind: str) -> None:
    """Not ours, not yet or not any more: refused, nothing happened, and the answer does not repeat it."""
    await guarded.keep("u1", b"0")
    other = Credentials(b"another secret of another cluster")
    token = {
        "rubbish": "a.b.c",
        "other cluster": other.issue_token(["admin"], now=time.time(), ttl=60),
        "expired": guarded.token("admin", ttl=60, ago=61),
        "dated ahead": guarded.token("admin", ttl=60, ago=-1000),
        "revoked": guarded.token("admin"),
    }[kind]
    if kind == "revoked":
        caller = guarded.context.credentials.verify_token(token, now=time.time())
        await guarded.revoke(f"token:{caller.id}")

    answer = await call.ask(guarded, token)

    assert refused(answer, call)
    assert token not in answer.body.decode() + str(answer.headers)
    assert await guarded.kept("u1") == [b"0"]


@each_call
async def test_a_token_for_something_else(guarded: World, call: Call) -> None:
    """Every scope but the right one is refused: 65533, or 403."""
    await guarded.keep("u1", b"0")
    wrong = [scope for scope in ("push", "read", "ticket") if scope != call.scope]

    answer = await call.ask(guarded, guarded.token(*wrong))

    assert refused(answer, call, status=403)
    assert await guarded.kept("u1") == [b"0"]


@each_call
async def test_the_right_scope_and_admin(guarded: World, call: Call) -> None:
    """What is needed is enough."""
    for scope in (call.scope, "admin"):
        answer = await call.ask(guarded, guarded.token(scope))

        assert answer.status == 200
        assert b"65533" not in answer.body
        assert b"error" not in answer.body


@each_call
async def test_a_token_of_another_realm_stays_there(guarded: World, call: Call) -> None:
    """The same name in another realm is another key: nothing of ours is read, changed or reached (law 7)."""
    await guarded.keep("u1", b'"ours"')

    answer = await call.ask(guarded, guarded.token("admin", realm="t7"))

    assert answer.status == 200
    assert b"ours" not in answer.body
    assert await guarded.kept("u1") == [b'"ours"']
    pushed = [key for batch in guarded.comet.calls for push in batch for key in push.keys]
    assert all(key.realm == "t7" for key in pushed)


@pytest.mark.parametrize("call", [c for c in CALLS if c.scope != "read"], ids=str)
async def test_a_ticket_is_no_token(guarded: World, call: Call) -> None:
    """What a phone has must not push or delete, not even for its own key."""
    await guarded.keep("u1", b"0")

    answer = await call.ask(guarded, guarded.ticket("u1"))

    assert refused(answer, call)
    assert await guarded.kept("u1") == [b"0"]


READS = ["/1/msg/get?k=u1&m=0", "/msg/get?key=u1&mid=0"]


@pytest.mark.parametrize("target", READS)
async def test_a_key_s_ticket_reads_its_messages(guarded: World, target: str) -> None:
    """As the parameter `token`, as clients have it, or in the header."""
    await guarded.keep("u1", b'"x"')
    ticket = guarded.ticket("u1")

    by_parameter = await guarded.public.ask("GET", f"{target}&token={ticket}")
    by_header = await guarded.public.ask("GET", target, bearer=ticket)

    assert by_parameter.body == by_header.body
    assert b'"msgs":[' in by_header.body


@pytest.mark.parametrize("target", READS)
@pytest.mark.parametrize("kind", ["other key", "other realm", "expired", "revoked", "rubbish"])
async def test_another_ticket_does_not(guarded: World, target: str, kind: str) -> None:
    """Knowing a key is not enough to read its messages (S3)."""
    await guarded.keep("u1", b'"secret"')
    ticket = {
        "other key": guarded.ticket("u2"),
        "other realm": guarded.ticket("u1", realm="t7"),
        "expired": guarded.ticket("u1", ttl=60, ago=61),
        "revoked": guarded.ticket("u1"),
        "rubbish": "x",
    }[kind]
    if kind == "revoked":
        await guarded.revoke(key_subject(parse_key("u1")))

    answer = await guarded.public.ask("GET", f"{target}&token={ticket}")

    assert b"secret" not in answer.body
    assert kind == "other realm" or b'"ret":65533' in answer.body


@pytest.mark.parametrize("scheme", ["Basic dTpw", "bearer", "Token x", "Bearer"])
async def test_another_scheme(guarded: World, scheme: str) -> None:
    """Only bearer credentials are known."""
    headers = {"Authorization": scheme}

    answer = await guarded.api.ask("POST", "/v2/push", b'{"to":"a","msg":1}', headers=headers)

    assert answer.status == 401


@pytest.mark.parametrize("target", ["/1/server/get?k=u1&p=1", "/1/time/get"])
async def test_looking_up_needs_nothing(guarded: World, target: str) -> None:
    """A client without a ticket may find its comet, which will ask for one."""
    assert b'"ret":0' in (await guarded.public.ask("GET", target)).body


EVIL = {"Origin": "https://evil.example"}


@each_call
async def test_a_page_of_another_site_at_home(home: World, call: Call) -> None:
    """Nobody's browser can be made to push, delete or read at a home node (S1)."""
    await home.keep("u1", b"0")
    door = home.doors[f"web.{call.door}"]

    foreign = await door.ask(call.method, call.target, call.body, headers=EVIL)
    rebound = {"Host": f"evil.example:{door.port}", "Origin": f"http://evil.example:{door.port}"}
    rebound_answer = await door.ask(call.method, call.target, call.body, headers=rebound)
    included = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    included_answer = await door.ask(call.method, call.target, call.body, headers=included)

    for answer in (foreign, rebound_answer, included_answer):
        assert refused(answer, call, status=403)
        assert "access-control-allow-origin" not in answer.headers
    assert await home.kept("u1") == [b"0"]
    assert home.comet.calls == []


@each_call
async def test_a_page_of_another_site_with_a_token(guarded: World, call: Call) -> None:
    """A stolen token does not help a page that is not allowed."""
    door = guarded.doors[f"web.{call.door}"]
    token = guarded.token("admin")

    answer = await door.ask(call.method, call.target, call.body, bearer=token, headers=EVIL)

    assert refused(answer, call, status=403)


@pytest.mark.parametrize("door", ["public", "api"])
async def test_our_own_page_may_look_up(home: World, door: str) -> None:
    """The demo page on 8094 asks 8090, or its own listener, and may read the answer."""
    page = f"http://127.0.0.1:{home.api.port}"

    answer = await home.doors[f"web.{door}"].ask(
        "GET", "/1/server/get?k=u1&p=1", headers={"Origin": page}
    )

    assert answer.headers["access-control-allow-origin"] == page
    assert answer.headers["vary"] == "Origin"
    assert b'"ret":0' in answer.body


@pytest.mark.parametrize(
    ("door", "path"), [("public", "/1/msg/get"), ("api", "/v2/push"), ("api", "/1/server/get")]
)
async def test_a_browser_may_ask_first(guarded: World, door: str, path: str) -> None:
    """The preflight of an allowed page passes, that of another does not."""
    fine = {"Origin": "http://127.0.0.1:3000", "Access-Control-Request-Method": "POST"}

    passed = await guarded.doors[f"web.{door}"].ask("OPTIONS", path, headers=fine)
    failed = await guarded.doors[f"web.{door}"].ask("OPTIONS", path, headers=EVIL)

    assert passed.status == 204
    assert passed.headers["access-control-allow-origin"] == "http://127.0.0.1:3000"
    assert "Authorization" in passed.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in failed.headers

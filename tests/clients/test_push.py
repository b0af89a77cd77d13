"""`push`: one request to web, one answer or one error."""

import json

import pytest
import trio
from appmsg_client import PushFailed, push
from trio.testing import MockClock

from tests.clients.scripted import Web


async def test_a_push_is_one_request(web: Web) -> None:
    """What was given is in the body; the answer comes back as it is."""
    answer = {"id": "p1", "results": [{"name": "u1@user", "id": 5, "stored": True, "online": 1}]}
    web.answer("/v2/push", answer)

    got = await push(
        "u1@user", {"text": "hé"}, api=web.url, token="t", ttl="10m", idempotency_key="k"
    )

    [(path, _, body)] = web.asked
    assert got == answer
    assert path == "/v2/push"
    assert json.loads(body) == {
        "to": "u1@user",
        "msg": {"text": "hé"},
        "ttl": "10m",
        "idempotency_key": "k",
    }


async def test_proxies_of_the_environment_are_not_used(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WebSocket could not go that way either, so a client would find web and not the comet."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    web.answer("/v2/push", {"id": "p1", "results": []})

    assert (await push("u1@user", 1, api=web.url))["id"] == "p1"


async def test_a_refused_push_says_why(web: Web) -> None:
    """Status and detail of the problem document are in the error, the token is not."""
    web.answer("/v2/push", {"title": "Bad input", "detail": "to: got 'u 1'"}, status=422)

    with pytest.raises(PushFailed, match="422: to: got 'u 1'") as failed:
        await push(["u 1"], 1, api=web.url, token="secret")

    assert failed.value.status == 422
    assert "secret" not in str(failed.value)


async def test_a_web_that_is_away_is_told_by_address() -> None:
    """Nobody listens on port 9 of loopback."""
    with pytest.raises(PushFailed, match=r"http://127\.0\.0\.1:9/v2/push") as failed:
        await push("u1@user", 1, api="http://127.0.0.1:9")

    assert failed.value.status == 0


async def test_an_answer_is_waited_for_so_long(clock: MockClock, nursery: trio.Nursery) -> None:
    """A web that accepts and says nothing does not hold the caller for ever."""

    async def ignore(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, ignore, [listener])
    port = listener.socket.getsockname()[1]

    with pytest.raises(PushFailed, match="within 7 s"):
        await push("u1@user", 1, api=f"http://127.0.0.1:{port}", within=7)
    nursery.cancel_scope.cancel()


async def test_an_answer_of_another_kind_is_no_success(web: Web) -> None:
    """Some other server on that port: its 200 means nothing."""
    web.answer("/v2/push", ["hello"])

    with pytest.raises(PushFailed, match="JSON object"):
        await push("u1@user", 1, api=web.url)

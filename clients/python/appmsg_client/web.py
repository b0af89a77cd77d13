"""What a client asks web over HTTP: which comet has a key, the time, and to push.

    GET  /1/server/get?k=u1@user&p=1  ->  {"data":{"server":"127.0.0.1:6968"},"ret":0}
    GET  /1/time/get                  ->  {"data":{"timeid":1785312000000000},"ret":0}
    POST /v2/push                     ->  see docs/api.md

Source: spec/gopush.md section 2.3. Proxies of the environment are not used: the WebSocket that
follows could not use them either.
"""

import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from appmsg_client.errors import PushFailed, Refused
from appmsg_client.protocol import BAD_REQUEST, MAX_MID, checked_server

MAX_ANSWER = 4 * 1024 * 1024  # bytes; a push to 10,000 names is answered name by name
_OK, _BAD_PARAMETER = 0, 65534  # `ret` of gopush web


class WebFailed(Exception):
    """Web could not be asked, or knew no answer. Try again later."""


class Web:
    """The public address of web, for look-ups. Open it by `open_web`."""

    def __init__(self, http: httpx.AsyncClient, base: str, within: float) -> None:
        self._http = http
        self._base = base
        self._within = within

    async def server_of(self, key: str) -> str:
        """The WebSocket URL of the comet that owns `key`: wss if web itself is asked by https.

        Raises:
            Refused: web says that the key is wrong.
            WebFailed: everything else.
        """
        answer = await self._get("/1/server/get", {"k": key, "p": "1"})
        server = answer.get("server")
        if not isinstance(server, str):
            raise WebFailed(f"web named no server: {answer}")
        scheme = "wss" if self._base.startswith("https:") else "ws"
        try:
            return checked_server(server if "://" in server else f"{scheme}://{server}/sub")
        except ValueError as error:
            raise WebFailed(f"web named a strange server: {error}") from None

    async def now(self) -> int | None:
        """The message id of this moment, or None if web does not say.

        A subscription without a starting id asks before it begins: should its line break before the
        first message, it still knows what it has missed.
        """
        try:
            mid = (await self._get("/1/time/get", {})).get("timeid")
        except (WebFailed, Refused):
            return None
        return mid if type(mid) is int and 0 <= mid <= MAX_MID else None

    async def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        status, body = await _ask(self._http, "GET", self._base + path, self._within, params=query)
        if status != 200:
            raise WebFailed(f"web answered {path} with HTTP status {status}")
        answer = _decoded(body)
        ret, data = answer.get("ret"), answer.get("data")
        if ret == _BAD_PARAMETER:
            raise Refused(BAD_REQUEST, f"web refused {path} of {dict(query)} with ret {ret}")
        if ret != _OK or not isinstance(data, dict):
            raise WebFailed(f"web answered {path} with ret {ret}")
        return data


@asynccontextmanager
async def open_web(base: str, tls: ssl.SSLContext | None, within: float) -> AsyncIterator[Web]:
    """Look-ups at `base`, an http:// or https:// URL; each answered within `within` seconds."""
    async with _open_http(tls) as http:
        yield Web(http, base.rstrip("/"), within)


async def push(
    to: str | Sequence[str],
    msg: Any,
    *,
    api: str = "http://127.0.0.1:8094",
    token: str = "",
    ttl: float | str = 0,
    idempotency_key: str | None = None,
    within: float = 30.0,
    tls: ssl.SSLContext | None = None,
) -> dict[str, Any]:
    """Push `msg`, any JSON value, to one name or many, and return web's answer as it is.

    Args:
        ttl: how long it is kept for those who are away: seconds, or text such as "10m"; 0 = not.
        within: seconds for the whole request.
        idempotency_key: pushes with the same key within 24 h happen once; makes a retry safe.

    Raises:
        PushFailed: web refused, could not be reached, or did not answer in time.

    Cancelling it leaves open whether the push happened.
    """
    body = {"to": to if isinstance(to, str) else list(to), "msg": msg, "ttl": ttl}
    if idempotency_key is not None:
        body["idempotency_key"] = idempotency_key
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    url = api.rstrip("/") + "/v2/push"
    async with _open_http(tls) as http:
        try:
            status, answer = await _ask(
                http, "POST", url, within, content=json.dumps(body), headers=headers
            )
            fields = _decoded(answer)
        except WebFailed as error:
            raise PushFailed(0, str(error)) from None
    if status != 200:
        raise PushFailed(status, str(fields.get("detail") or fields.get("title") or ""))
    return fields


def _open_http(tls: ssl.SSLContext | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=tls or ssl.create_default_context(), trust_env=False)


async def _ask(
    http: httpx.AsyncClient, method: str, url: str, within: float, **request: Any
) -> tuple[int, bytes]:
    """Status and body of one request; one deadline over all of it.

    Raises:
        WebFailed: no whole answer within `within` seconds and MAX_ANSWER bytes.
    """
    body = bytearray()
    try:
        with trio.fail_after(within):
            async with http.stream(method, url, timeout=within, **request) as response:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise WebFailed(f"web answered with more than {MAX_ANSWER} bytes")
    except trio.TooSlowError:
        raise WebFailed(f"no answer from {url} within {within:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise WebFailed(f"cannot ask {url}: {str(error) or type(error).__name__}") from None
    return response.status_code, bytes(body)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise WebFailed(f"web answered with something else than a JSON object: {body[:80]!r}")
    return fields

"""The pushes of /v2: one order a request, or one a line.

    POST /v2/push          {"to":["u1@user","u2@user"],"msg":{"text":"hi"},"ttl":"10m","idempotency_key":"o-17"}
                           {"id":"<push id>","results":[{"name":"u1@user","id":1700000000000000,"stored":true,"online":2},...]}

    POST /v2/push/stream   the same requests, one JSON text per line (NDJSON), as many as you like
                           the same answers, one per line, in order; {"error":{...,"line":7}} for a bad line

A name that failed has an `error` in place of the other members; if all failed, so did the request.
Lines are pushed in the batches in which they arrive, one after the other: while one is under way the next
gathers in the socket, and a sender that is too fast waits there. Both run on the front door.
"""

import time
from collections.abc import AsyncIterator
from functools import partial

import msgspec

from appmodel.core.message import Push, other_sessions
from appmodel.core.origins import Origins
from appmodel.errors import PushError, TooLarge
from appmodel.protocol.envelope import checked_json
from appmodel.protocol.http import Headers, Request, Response, Route
from web.api.external import preflight
from web.api.internal import Limits
from web.core.decoding import decode
from web.core.ndjson import Line, Lines
from web.core.orders import Order, Outcome, claim_of, push_id_of
from web.core.payloads import PushAnswer, PushRequest, StreamError, parse_ttl, push_answer
from web.core.principals import Principal, subject_of
from web.core.problems import problem
from web.services.addressing import Addressing
from web.services.callers import Callers
from web.services.ordering import Ordering
from web.services.push_ids import fresh_push_id

_REQUEST = msgspec.json.Decoder(PushRequest)
_ENCODER = msgspec.json.Encoder()
JSON = ("Content-Type", "application/json")
NDJSON = ("Content-Type", "application/x-ndjson")


class PushApi:
    """The two hot routes of /v2."""

    def __init__(
        self,
        callers: Callers,
        addressing: Addressing,
        origins: Origins,
        ordering: Ordering,
        limits: Limits,
        *,
        batch: int,
    ) -> None:
        """`batch`: lines of a stream that are pushed together."""
        self._callers, self._addressing = callers, addressing
        self._origins = origins
        self._ordering = ordering
        self._limits = limits
        self._batch = batch

    def routes(self) -> list[Route]:
        """For the front door, and mounted in front of the breadth."""
        options = partial(preflight, self._origins)
        return [
            Route(method="POST", path="/v2/push", handler=self._push, max_body=self._limits.body),
            Route(method="POST", path="/v2/push/stream", handler=self._stream, streams=True),
            Route(method="OPTIONS", path="/v2/push", handler=options),
            Route(method="OPTIONS", path="/v2/push/stream", handler=options),
        ]

    async def _push(self, request: Request) -> Response:
        self._origins.check(request.headers)
        principal = await self._callers.principal(request.headers, "push")
        order = await self._order(request.body, principal, time.time())
        (outcome,) = await self._ordering.place((order,))
        outcome.check()
        headers = [JSON, *self._origins.cors(request.headers)]
        answer = push_answer(outcome, order.names)
        return Response(headers=headers, body=_ENCODER.encode(answer))

    async def _stream(self, request: Request) -> Response:
        self._origins.check(request.headers)
        await self._callers.principal(request.headers, "push")
        assert request.chunks is not None
        headers = [NDJSON, *self._origins.cors(request.headers)]
        return Response(headers=headers, body=self._answers(request.chunks, request.headers))

    async def _answers(
        self, chunks: AsyncIterator[bytes], headers: Headers
    ) -> AsyncIterator[bytes]:
        lines = Lines(self._limits.body)
        async for chunk in chunks:
            received = lines.receive(chunk)
            for at in range(0, len(received), self._batch):
                yield await self._place(received[at : at + self._batch], headers)
        yield await self._place(lines.end(), headers)

    async def _place(self, lines: list[Line], headers: Headers) -> bytes:
        """The answers to `lines`, in their order. The credential is weighed anew: it may have expired."""
        now = time.time()
        orders: list[Order] = []
        refused: dict[int, PushError] = {}
        for line in lines:
            try:
                principal = await self._callers.principal(headers, "push")
                if line.text is None:
                    raise TooLarge(f"line: over {self._limits.body} bytes")
                orders.append(await self._order(line.text, principal, now))
            except PushError as error:
                refused[line.number] = error
        placed = await self._ordering.place(orders) if orders else []
        done = iter(zip(placed, orders, strict=True))
        return _ENCODER.encode_lines(
            [
                _failed(refused[line.number], line)
                if line.number in refused
                else _answered(*next(done), line)
                for line in lines
            ]
        )

    async def _order(self, raw: bytes, principal: Principal, now: float) -> Order:
        wanted = decode(_REQUEST, raw)
        body = bytes(wanted.msg)
        if len(body) > self._limits.message:
            raise TooLarge(f"msg: over {self._limits.message} bytes")
        checked_json(body, "msg")
        ttl = parse_ttl(wanted.ttl) if wanted.ttl != 0 else 0.0
        keys, names, _ = await self._addressing.find(wanted.to, principal)
        expires_at = now + ttl if ttl else 0.0
        if wanted.idempotency_key is None:
            push = Push(fresh_push_id(), keys, body, expires_at, sessions=other_sessions(keys))
            return Order(push, names=names)
        realm, who = subject_of(principal)
        asked = list(names) if names is not None else [key.stored for key in keys]
        claim = claim_of(wanted.idempotency_key, who, realm, asked, body, ttl)
        push = Push(push_id_of(claim), keys, body, expires_at, sessions=other_sessions(keys))
        return Order(push, claim, names)


def _answered(outcome: Outcome, order: Order, line: Line) -> PushAnswer | StreamError:
    error = outcome.error
    return push_answer(outcome, order.names) if error is None else _failed(error, line)


def _failed(error: PushError, line: Line) -> StreamError:
    return StreamError(problem(error, line=line.number))

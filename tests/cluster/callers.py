"""Callers as they should be: they push through any web node, and repeat what may be repeated.

    answered with an id             done
    refused (503): nothing happened     the keys that were refused are asked for again, after a pause
    in doubt (504, or a broken line)    with an idempotency key: the same again, until somebody knows;
                                        without one: left alone, for it would be a second message

An order is one message with a ttl of ten minutes, of a second, or none, for one key or several of the
caller's realm. Its body is its number.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import trio

from appmodel.core.names import Key
from tests.cluster.history import Accepted, Asked, Doubtful, History, Refused

LONG, SHORT = 600.0, 1.0  # seconds: longer than a round; over before a fault is mended
TTLS = (LONG,) * 7 + (SHORT, 0.0, 0.0)
TIMEOUT = 60.0  # seconds for one call: above the deadline of web
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5  # seconds
PATIENCE = 120.0  # seconds after which a caller gives an order up
LINE = "line: "  # how a call failed: the line to web, not what web said
STREAMED = 20  # orders of one stream


@dataclass(slots=True)
class Placed:
    """An order on its way."""

    number: int
    keys: tuple[Key, ...]  # that have no id yet, and may be asked for
    ttl: float
    name: str | None  # its idempotency key

    def payload(self) -> dict[str, Any]:
        """As /v2/push wants it."""
        wanted: dict[str, Any] = {"to": [str(key) for key in self.keys], "msg": self.number}
        wanted["ttl"] = self.ttl
        return wanted if self.name is None else wanted | {"idempotency_key": self.name}


@dataclass(slots=True)
class Caller:
    """One business system of one realm. `stop` ends it after the order that it is placing."""

    keys: Sequence[Key]
    token: str
    webs: Callable[[], list[str]]  # URLs of their /v2 listeners
    http: httpx.AsyncClient
    history: History
    numbers: "count[int]"  # of orders and calls
    chance: random.Random
    pace: float  # seconds between two orders, on average
    most: int  # keys of one order
    stopping: bool = False
    given_up: list[int] = field(default_factory=list)  # orders
    on_accepted: Callable[[int, str, float, int], None] = lambda order, key, ttl, message_id: None

    async def push(self) -> None:
        """One call per order. Until stopped."""
        while not self.stopping:
            await self._place(self._order())
            await trio.sleep(self.chance.uniform(0, 2 * self.pace))

    async def stream(self) -> None:
        """Many orders on one request, then the next request. Until stopped."""
        while not self.stopping:
            orders = [self._order() for _ in range(STREAMED)]
            for order in orders:
                order.keys = order.keys[:1]  # one verdict a line
            for order in await self._stream(orders):
                await self._place(order)
            await trio.sleep(self.chance.uniform(0, 2 * STREAMED * self.pace))

    def _order(self) -> Placed:
        chance = self.chance
        number = next(self.numbers)
        many = chance.random() < 0.25
        keys = chance.sample(self.keys, chance.randint(2, self.most) if many else 1)
        name = f"order-{number}" if chance.random() < 0.5 else None
        return Placed(number, tuple(keys), chance.choice(TTLS), name)

    async def _place(self, order: Placed) -> None:
        """Until every key has its id, or may not be asked for again."""
        pause = FIRST_PAUSE
        with trio.move_on_after(PATIENCE):
            while order.keys:
                await self._call(order)
                if order.keys:
                    await trio.sleep(self.chance.uniform(pause / 2, pause))
                    pause = min(LONGEST_PAUSE, 2 * pause)
        if order.keys:
            self.given_up.append(order.number)

    async def _call(self, order: Placed) -> None:
        url = self.chance.choice(self.webs())
        call = self._ask(order, url)
        try:
            answer = await self.http.post(
                url + "/v2/push", json=order.payload(), headers=self._headers(), timeout=TIMEOUT
            )
            results = _results(order, answer.json())
        except httpx.ConnectError as error:  # nobody was there to hear it
            self._settle(order, call, {key: _refusal(error) for key in order.keys})
        except (httpx.HTTPError, ValueError) as error:
            self._settle(order, call, {key: _doubt(error) for key in order.keys})
        else:
            self._settle(order, call, results)

    async def _stream(self, orders: list[Placed]) -> list[Placed]:
        """Those that have to be placed again, one by one."""
        url = self.chance.choice(self.webs())
        calls = [self._ask(order, url) for order in orders]
        body = "\n".join(json.dumps(order.payload()) for order in orders).encode()
        asked = iter(zip(orders, calls, strict=True))
        error: Exception = EOFError("the answer ended")
        try:
            async with self.http.stream(
                "POST",
                url + "/v2/push/stream",
                content=body,
                headers=self._headers(),
                timeout=TIMEOUT,
            ) as answer:
                async for line in answer.aiter_lines():
                    order, call = next(asked)
                    self._settle(order, call, _results(order, json.loads(line)))
        except (httpx.HTTPError, ValueError) as failure:
            error = failure
        for order, call in asked:
            self._settle(order, call, {key: _doubt(error) for key in order.keys})
        return [order for order in orders if order.keys]

    def _ask(self, order: Placed, url: str) -> int:
        call = next(self.numbers)
        keys = tuple(key.stored for key in order.keys)
        idempotent = order.name is not None
        self.history.add(
            Asked(
                call=call,
                order=order.number,
                keys=keys,
                ttl=order.ttl,
                idempotent=idempotent,
                via=url,
            )
        )
        return call

    def _settle(self, order: Placed, call: int, results: dict[Key, dict[str, Any]]) -> None:
        """Write the verdicts down; `order.keys` become those to ask for again."""
        again: list[Key] = []
        for key, result in results.items():
            if "error" not in result:
                self.history.add(
                    Accepted(call=call, key=key.stored, id=result["id"], stored=result["stored"])
                )
                self.on_accepted(order.number, key.stored, order.ttl, result["id"])
            elif result["error"]["status"] in (502, 504):
                how = result["error"]["detail"]
                self.history.add(Doubtful(call=call, key=key.stored, how=how))
                again += [key] if order.name is not None else []
            else:
                assert result["error"]["status"] == 503, result  # anything else is our fault
                how = result["error"]["detail"]
                self.history.add(Refused(call=call, key=key.stored, how=how))
                again.append(key)
        # under an idempotency key the order stays what it was, or it would be another one
        order.keys = order.keys if again and order.name is not None else tuple(again)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _results(order: Placed, answer: dict[str, Any]) -> dict[Key, dict[str, Any]]:
    """The verdict on each key: `id` and `stored`, or `error` with `status` and `detail`."""
    if "results" in answer:
        return dict(zip(order.keys, answer["results"], strict=True))
    error = answer.get("error", answer)  # a line of a stream, or the whole answer
    return {key: {"error": error} for key in order.keys}


def _refusal(error: Exception) -> dict[str, Any]:
    return {"error": {"status": 503, "detail": f"{LINE}{error!r}"}}


def _doubt(error: Exception) -> dict[str, Any]:
    return {"error": {"status": 504, "detail": f"{LINE}{error!r}"}}

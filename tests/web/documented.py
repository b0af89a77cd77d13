"""Calls of every operation of /v2, for the test that the OpenAPI document is true.

Each part has a table, tests/web/documented_<part>.py, named in test_v2.py:

    async def prepare(world: World) -> None: ...        rows that its calls need
    CALLS = [Call("GET", "/v2/things/1"), ...]          made in this order; each operation succeeds once

The node runs with auth off, so a call without a bearer is an operator's.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.web.world import World


@dataclass(frozen=True)
class Call:
    """One request. `user`: with a token of the user with this id, who must be there."""

    method: str
    path: str  # with its query
    body: bytes = b""
    user: str = ""


@dataclass(frozen=True)
class Table:
    """What a part brings."""

    prepare: Callable[[World], Awaitable[None]]
    calls: Sequence[Call]

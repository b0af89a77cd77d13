"""Other nodes that know the secret and talk nonsense to a store: refused, and nobody else notices."""

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from appmodel.core.message import Save
from appmodel.core.names import parse_key
from appmodel.errors import BadInput
from appmodel.io.calls import Call, RemoteStore, ledger_handlers, store_handlers
from appmodel.io.rpc_client import RpcClient
from message.app import open_store
from message.config import MessageConfig, SqliteConfig
from tests.appmodel.io.loopback import PATIENCE, over_rpc

KEY, ID = ("", "k", ""), bytes(16)
LATER = 4e9  # Unix seconds
TOO_LONG, ZERO = ("", "k" * 256, ""), ("", "k\0", "")


def save(
    push_id: bytes = ID,
    proposed_id: int = 1,
    keys: Any = (KEY,),
    body: bytes = b"1",
    expires_at: float = LATER,
    tails: Any = (),
) -> list[Any]:
    """The argument of a save; the default is a good one."""
    return [(push_id, proposed_id, keys, body, expires_at, tails)]


BAD_SAVES = [
    save(bytes(15)),
    save(bytes(300)),
    save(proposed_id=-1),
    save(proposed_id=2**63),
    save(keys=(KEY, KEY)),
    save(keys=(TOO_LONG,)),
    save(keys=(ZERO,)),
    save(expires_at=math.nan),
    save(expires_at=math.inf),
    save(expires_at=-1.0),
    save() + save(bytes(15) + b"1", keys=(ZERO,)),
    save(body=b'{"a":1}', tails=(b'"b":1', b'"b":2')),
    save(body=b'{"a":1}', tails=(b"",)),
    save(body=b"1", tails=(b'"b":1',)),
]
NONSENSE: list[tuple[str, Any]] = [
    *(("store.save", argument) for argument in BAD_SAVES),
    ("store.fetch", (ZERO, 0, 1, None)),
    ("store.fetch", (KEY, -2, 1, None)),
    ("store.fetch", (KEY, 2**63, 1, None)),
    ("store.fetch", (KEY, 0, -1, None)),
    ("store.fetch", (KEY, 0, 2**62, None)),
    ("store.fetch", (KEY, 0, 1, 2**63)),
    ("store.marks", [TOO_LONG]),
    ("store.marks", [ZERO]),
    ("store.delete", (ZERO, None)),
    ("store.delete", (KEY, [2**63])),
    ("store.feed", (-2, 1)),
    ("store.feed", (2**63, 1)),
    ("store.feed", (0, -1)),
    ("store.sweep", -1),
    ("store.sweep", 2**62),
    ("ledger.remember", (bytes(256), b"", LATER)),
    ("ledger.remember", (b"n", b"", math.nan)),
    ("ledger.remember", (b"n", b"", math.inf)),
    ("ledger.recall", bytes(256)),
    ("ledger.revoke", ("key:\0", 1.0, LATER)),
    ("ledger.revoke", ("key:" + "k" * 2000, 1.0, LATER)),
    ("ledger.revoke", ("key:k", math.nan, LATER)),
    ("ledger.revoke", ("key:k", 1.0, math.inf)),
    ("ledger.revocations", 2**63),
]


@pytest.fixture(params=["memory", "sqlite"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RpcClient]:
    """Calls a message node with a store of each kind."""
    config = MessageConfig(
        store=request.param, sqlite=SqliteConfig(path=str(tmp_path / "messages.db"))
    )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(config))
        handlers = {**store_handlers(store), **ledger_handlers(store)}
        yield await stack.enter_async_context(over_rpc(handlers))


@pytest.mark.parametrize(("method", "argument"), NONSENSE)
async def test_a_call_that_cannot_be_is_refused(
    client: RpcClient, method: str, argument: Any
) -> None:
    """All of it, also the good part; and the store takes what comes next."""
    with pytest.raises(BadInput):
        await client.call(Call[Any, Any](method), argument, timeout=PATIENCE)

    store = RemoteStore(client, PATIENCE)
    [saved] = await store.save([Save(ID, 1, (parse_key("k"),), b"1", LATER)])
    assert (saved.ids, saved.prevs) == ((1,), (0,))

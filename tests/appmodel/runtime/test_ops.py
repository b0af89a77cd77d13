"""What operators ask every node."""

from dataclasses import dataclass, field

import msgspec

from appmodel.protocol.http import Request, Response
from appmodel.runtime.metrics import Metrics
from appmodel.runtime.ops import Health, ops_routes


@dataclass(frozen=True)
class Node:
    metrics: Metrics = field(default_factory=Metrics)
    health: Health = field(default_factory=Health)


async def get(node: Node, path: str, **headers: str) -> Response:
    (route,) = [r for r in ops_routes(node) if r.path == path and r.method == "GET"]
    return await route.handler(Request(method="GET", path=path, headers=headers))


def json(response: Response) -> object:
    assert isinstance(response.body, bytes)
    return msgspec.json.decode(response.body)


async def test_a_node_is_ready_while_all_its_checks_pass() -> None:
    """503 with every reason by name as long as one check fails; 200 as soon as none does."""
    node = Node()
    store: list[str] = ["the disk is full"]
    node.health.add("store", lambda: store[0] if store else None)
    node.health.add("comet", lambda: None)

    unready = await get(node, "/readyz")
    store.clear()
    ready = await get(node, "/readyz")

    assert unready.status == 503
    assert json(unready) == {"ready": False, "reasons": {"store": "the disk is full"}}
    assert ready.status == 200
    assert json(ready) == {"ready": True, "reasons": {}}


async def test_a_node_that_is_not_ready_is_alive() -> None:
    """/healthz restarts processes, /readyz takes them off the balancer: they must not be mixed up."""
    node = Node()
    node.health.add("store", lambda: "away")

    assert (await get(node, "/healthz")).status == 200


async def test_metrics_are_served_in_the_wanted_form() -> None:
    """And never from a cache: an old number is a wrong number."""
    node = Node()
    node.metrics.gauge("answer", "The answer.", lambda: 42)

    plain = await get(node, "/metrics")
    openmetrics = await get(node, "/metrics", accept="application/openmetrics-text")

    assert isinstance(plain.body, bytes)
    assert b"\nanswer 42.0\n" in plain.body
    assert ("cache-control", "no-store") in plain.headers
    assert "openmetrics" in dict(openmetrics.headers)["content-type"]

"""What operators ask every node: /metrics, /healthz, /readyz.

/healthz   200 ok                                        the process serves requests
/readyz    200 {"ready":true,"reasons":{}}               it can do its work
           503 {"ready":false,"reasons":{"store":"..."}} it cannot, and why
/metrics   Prometheus text, or OpenMetrics if asked for
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from appmodel.protocol.http import Request, Response, Route
from appmodel.runtime.metrics import Metrics

Check = Callable[[], str | None]


class Health:
    """Whether a process can do its work: all its checks must pass."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """`check` returns None, or the reason why this part cannot work. It must not block."""
        self._checks[name] = check

    def reasons(self) -> dict[str, str]:
        """Why this process is not ready, by the name of the check; empty if it is."""
        found = {name: check() for name, check in self._checks.items()}
        return {name: reason for name, reason in found.items() if reason is not None}


class Observed(Protocol):
    """What the routes look at; a `Context` is one."""

    @property
    def metrics(self) -> Metrics: ...

    @property
    def health(self) -> Health: ...


def ops_routes(observed: Observed) -> list[Route]:
    """The three routes, for any listener of the node."""

    async def metrics(request: Request) -> Response:
        page, content_type = observed.metrics.render(request.headers.get("accept", ""))
        return _fresh(200, page, content_type)

    async def healthz(request: Request) -> Response:
        return _fresh(200, b"ok\n", "text/plain; charset=utf-8")

    async def readyz(request: Request) -> Response:
        reasons = observed.health.reasons()
        answer = msgspec.json.encode({"ready": not reasons, "reasons": reasons})
        return _fresh(503 if reasons else 200, answer, "application/json")

    handlers = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    return [Route(method="GET", path=path, handler=handler) for path, handler in handlers.items()]


def _fresh(status: int, body: bytes, content_type: str) -> Response:
    headers = [("content-type", content_type), ("cache-control", "no-store")]
    return Response(status=status, headers=headers, body=body)

"""`GET /stat?type=T[&key=K]`: what gopush-cluster's monitoring reads, as JSON indented by 4 spaces.

    memory, python (golang), server, config     the process
    channel, channel&key=K                      access, create, delete, current; {"channel":{"conn":N}}
    message                                     succeed, failed, total: writes to connections, not pushes
    connection                                  add, remove, current

Not GET is 405, an unknown type 404, the channel of an unknown key an empty 200. The Go runtime's figures
have no meaning here: `memory` and `python` have Python's (`golang` answers the same as `python`).

Source: gopush-cluster comet/stat.go; spec/gopush.md 8.1.
"""

import gc
import os
import platform
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import trio

from appmodel.core.names import parse_key
from appmodel.errors import BadInput
from appmodel.protocol.http import Request, Response, Route
from comet.config import CometConfig
from comet.io.live import Live


class Stat:
    """Answers `/stat` from the live path's own numbers."""

    def __init__(self, live: Live, config: CometConfig, started_at: float) -> None:
        """`started_at`: trio time of the start."""
        self._live, self._config, self._started_at = live, config, started_at
        self._kinds: dict[str, Callable[[], Any]] = {
            "memory": _memory,
            "python": _python,
            "golang": _python,
            "server": self._server,
            "config": lambda: msgspec.to_builtins(config, enc_hook=_plain),
            "channel": self._channel,
            "message": self._message,
            "connection": self._connection,
        }

    @property
    def route(self) -> Route:
        """For the front door of the stat listener."""
        return Route(method="GET", path="/stat", handler=self.handle)

    async def handle(self, request: Request) -> Response:
        """One kind of figures."""
        kind = request.query.get("type", "")
        if kind not in self._kinds:
            return Response(status=404)
        key = request.query.get("key", "")
        if kind == "channel" and key:
            return self._subscribers(key)
        return _json(self._kinds[kind]())

    def _subscribers(self, text: str) -> Response:
        try:
            channel = self._live.hub.get(parse_key(text))
        except BadInput:
            channel = None
        if channel is None:
            return Response()
        return _json({"channel": {"conn": len(channel.subscribers)}})

    def _channel(self) -> dict[str, int]:
        hub = self._live.hub
        return {
            "access": hub.accessed,
            "create": hub.created,
            "delete": hub.deleted,
            "current": len(hub),
        }

    def _message(self) -> dict[str, int]:
        counts = self._live.counts
        return {
            "succeed": counts.deliveries,
            "failed": counts.failures,
            "total": counts.deliveries + counts.failures,
        }

    def _connection(self) -> dict[str, int]:
        counts = self._live.counts
        return {
            "add": counts.subscribed,
            "remove": counts.unsubscribed,
            "current": self._live.hub.subscribers,
        }

    def _server(self) -> dict[str, Any]:
        return {
            "uptime": int((trio.current_time() - self._started_at) * 1e9),  # ns, as in the original
            "hostname": socket.gethostname(),
            "wd": str(Path.cwd()),
            "ppid": os.getppid(),
            "pid": os.getpid(),
            "pagesize": resource.getpagesize(),
            "user": os.getuid(),
            "group": os.getgid(),
        }


def _plain(value: Any) -> Any:
    """A duration as seconds, a size as bytes."""
    return float(value) if isinstance(value, float) else int(value)


def _memory() -> dict[str, Any]:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    collected = gc.get_stats()
    return {
        "resident": resident,  # bytes
        "resident_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "objects": sum(gc.get_count()),
        "gc_enabled": gc.isenabled(),
        "gc_runs": [generation["collections"] for generation in collected],
        "gc_collected": sum(generation["collected"] for generation in collected),
    }


def _python() -> dict[str, Any]:
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "compiler": platform.python_compiler(),
        "arch": platform.machine(),
        "os": sys.platform,
        "cpus": os.cpu_count(),
        "threads": threading.active_count(),
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "trio": trio.__version__,
    }


def _json(figures: Any) -> Response:
    return Response(
        headers=[("Content-Type", "application/json;charset=utf-8")],
        body=msgspec.json.format(msgspec.json.encode(figures), indent=4),
    )

"""Logs: one line per event, on stderr, as JSON or for a reader at a terminal.

    {"time":"2026-07-01T12:00:00.123456Z","level":"info","event":"ready","logger":"comet",...}

Everything goes through the standard library's logging, so what libraries say (Hypercorn, Quart) has
the same form. From them only warnings are kept: Hypercorn would write a line for each request.

A reader who does not read costs lines, never time: see log_writer.py.
"""

import io
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import msgspec
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from appmodel.runtime.config import LogConfig
from appmodel.runtime.log_writer import FLUSH, LineWriter

OURS = ("appmodel", "comet", "message", "web")
FIRST = (
    "time",
    "level",
    "event",
    "logger",
    "node",
)  # of a line, for those who read JSON with their eyes


log = structlog.get_logger(__name__)


def configure_logs(config: LogConfig, stream: TextIO | None = None, *, node: str = "") -> None:
    """Send all logs of this process to `stream` (stderr), in the configured form and level.

    Args:
        stream: without a descriptor, as in tests, it is written to directly.
        node: a name for every line, where several processes share the stream.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        *([_naming(node)] if node else []),
    ]
    handler = _handler(stream, config.backlog)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[ProcessorFormatter.remove_processors_meta, *_rendering(config, stream)],
        )
    )
    _route_standard_logging(handler, config.level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def dropped_lines() -> int:
    """Lines that found no room, because nobody read them."""
    return sum(writer.dropped for writer in _writers())


def flush_logs() -> None:
    """Wait a moment until all lines are written: for what is printed behind them."""
    for writer in _writers():
        writer.flush(FLUSH)


class _Handler(logging.StreamHandler[LineWriter]):
    """Tells how many lines were dropped, once there is room again."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__(writer)
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        lines = self.writer.take_untold()
        if lines:
            log.warning("log lines dropped: nobody read them", lines=lines)


def _handler(stream: TextIO, backlog: int) -> logging.Handler:
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return logging.StreamHandler(stream)
    for known in _writers():
        if known.descriptor == descriptor:  # configured again: what waits there comes first
            known.backlog = backlog
            return _Handler(known)
    return _Handler(LineWriter(descriptor, backlog))


def _writers() -> list[LineWriter]:
    return [each.writer for each in logging.getLogger().handlers if isinstance(each, _Handler)]


def _naming(node: str) -> Processor:
    def name(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
        event.setdefault("node", node)
        return event

    return name


def _rendering(config: LogConfig, stream: TextIO) -> list[Processor]:
    terminal = stream.isatty()
    if config.format == "console" or (config.format == "auto" and terminal):
        plain = ConsoleRenderer(
            colors=terminal, exception_formatter=plain_traceback, timestamp_key="time"
        )
        return [plain]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
    ]


def _route_standard_logging(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def _json(event: dict[str, Any], **_: Any) -> str:
    first = {name: event.pop(name) for name in FIRST if name in event}
    return msgspec.json.encode(first | event, enc_hook=str).decode()

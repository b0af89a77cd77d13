"""Logs: one line per event, on stderr, as JSON or for a reader at a terminal.

    {"time":"2026-07-01T12:00:00.123456Z","level":"info","event":"ready","logger":"comet",...}

Everything goes through the standard library's logging, so what libraries say (Hypercorn, Quart) has
the same form. From them only warnings are kept: Hypercorn would write a line for each request.
"""

import logging
import sys
from typing import Any, TextIO

import msgspec
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from appmodel.runtime.config import LogConfig

OURS = ("appmodel", "comet", "message", "web")
FIRST = ("time", "level", "event", "logger")  # of a line, for those who read JSON with their eyes


def configure_logs(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr), in the configured form and level."""
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    handler = logging.StreamHandler(stream)
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

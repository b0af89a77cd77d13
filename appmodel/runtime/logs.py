"""Logs: one line per event, on stderr, as JSON or for a reader at a terminal.

    {"time":"2026-07-01T12:00:00.123456Z","level":"info","event":"ready","logger":"comet",...}

What we say ourselves goes straight to the writer, for a comet has a line for each client that comes and goes:
by way of the standard library's logging a line costs 39 µs, and so 10. What libraries say by that (Hypercorn,
Quart) gets the same form. From them only warnings are kept: Hypercorn would write a line for each request.

A reader who does not read costs lines, never time: see log_writer.py.
"""

import io
import logging
import sys
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import msgspec
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import Processor

from appmodel.runtime.config import LogConfig
from appmodel.runtime.log_writer import FLUSH, LineWriter

FIRST = (
    "time",
    "level",
    "event",
    "logger",
    "node",
)  # of a line, for those who read JSON with their eyes

log = structlog.get_logger(__name__)


class Sink(Protocol):
    """Takes whole lines, and never fails."""

    def write(self, text: str, /) -> None: ...


def configure_logs(config: LogConfig, stream: TextIO | None = None, *, node: str = "") -> None:
    """Send all logs of this process to `stream` (stderr), in the configured form and level.

    Args:
        stream: without a descriptor, as in tests, it is written to directly.
        node: a name for every line, where several processes share the stream.
    """
    stream = sys.stderr if stream is None else stream
    sink = _sink(stream, config.backlog)
    processors: list[Processor] = [
        _Stamp(node),
        structlog.processors.format_exc_info,
        _renderer(config, stream),
    ]
    level = logging.getLevelName(config.level.upper())
    _route_standard_logging(_Foreign(sink, processors), level)
    voices: dict[str, _Voice] = {}

    def voice(name: str = "") -> _Voice:
        return voices.get(name) or voices.setdefault(name, _Voice(name, sink))

    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=voice,
    )


def dropped_lines() -> int:
    """Lines that found no room, because nobody read them."""
    return sum(writer.dropped for writer in _writers())


def flush_logs() -> None:
    """Wait a moment until all lines are written: for what is printed behind them."""
    for writer in _writers():
        writer.flush(FLUSH)


class _Voice:
    """What structlog ends in: whoever is called `name`."""

    __slots__ = ("_sink", "name")

    def __init__(self, name: str, sink: Sink) -> None:
        self.name, self._sink = name, sink

    def say(self, line: str) -> None:
        """Write it; and tell how many lines were dropped, once there is room again."""
        sink = self._sink
        sink.write(line)
        if isinstance(sink, LineWriter) and sink.untold and (lines := sink.take_untold()):
            log.warning("log lines dropped: nobody read them", lines=lines)

    debug = info = warning = error = critical = say


class _Foreign(logging.Handler):
    """What libraries say, in our form."""

    def __init__(self, sink: Sink, processors: Sequence[Processor]) -> None:
        super().__init__()
        self.sink, self._processors = sink, processors

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        try:
            voice, level = _Voice(record.name, self.sink), record.levelname.lower()
            event: Any = {"event": record.getMessage()}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            for process in self._processors:
                event = process(voice, level, event)
            voice.say(event)
        except Exception:  # as all handlers of logging: a bad line is no error of who wrote it
            self.handleError(record)


class _Stamp:
    """Begins the line: FIRST."""

    def __init__(self, node: str) -> None:
        self._node = node

    def __call__(
        self, voice: _Voice, level: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": level,
            "event": event.pop("event"),
            "logger": voice.name,
        }
        if self._node:
            line["node"] = self._node
        line.update(event)
        return line


class _Stream:
    """What has no descriptor. Once it is closed, lines are lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """See `Sink`."""
        if not self._stream.closed:
            self._stream.write(text)


def _sink(stream: TextIO, backlog: int) -> Sink:
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return _Stream(stream)
    for known in _writers():
        if known.descriptor == descriptor:  # configured again: what waits there comes first
            known.backlog = backlog
            return known
    return LineWriter(descriptor, backlog)


def _writers() -> list[LineWriter]:
    sinks = [each.sink for each in logging.getLogger().handlers if isinstance(each, _Foreign)]
    return [sink for sink in sinks if isinstance(sink, LineWriter)]


def _renderer(config: LogConfig, stream: TextIO) -> Processor:
    terminal = stream.isatty()
    if config.format == "console" or (config.format == "auto" and terminal):
        pretty = ConsoleRenderer(
            colors=terminal, exception_formatter=plain_traceback, timestamp_key="time"
        )
        return _Line(lambda event: str(pretty(None, "", event)))
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return _Line(lambda event: encode(event).decode())


class _Line:
    """The last step. Who says something never fails because of how it looks: half a surrogate, a broken `__str__`."""

    def __init__(self, render: Callable[[MutableMapping[str, Any]], str]) -> None:
        self._render = render

    def __call__(self, _voice: object, _level: str, event: MutableMapping[str, Any]) -> str:
        try:
            return self._render(event) + "\n"
        except Exception as error:  # whatever its values do
            plain = {name: event[name] for name in FIRST if name in event}
            why = f"{type(error).__name__} in one of {', '.join(event)}"
            return (
                self._render({**plain, "event": ascii(event["event"]), "unprintable": why}) + "\n"
            )


def _route_standard_logging(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, level))
    logging.captureWarnings(True)

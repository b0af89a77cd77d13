"""One line per event, whoever writes it."""

import io
import json
import logging
import warnings

import pytest
import structlog

from appmodel.runtime.config import LogConfig
from appmodel.runtime.logs import configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    """Even with a traceback or a line end in it: a line is an event for whoever collects them."""
    stream = io.StringIO()
    configure_logs(LogConfig(), stream)
    log = structlog.get_logger("comet.app")

    try:
        int("two\nlines")
    except ValueError:
        log.exception("failed", port=6968, host=b"bytes", of=LogConfig)

    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"], line["port"]) == (
        "failed",
        "error",
        "comet.app",
        6968,
    )
    assert "ValueError: invalid literal" in str(line["exception"])
    assert str(line["time"]).endswith("Z")


def test_a_worker_is_named_in_every_line() -> None:
    """Several processes share one stderr; what has a node of its own to tell keeps it."""
    stream = io.StringIO()
    configure_logs(LogConfig(), stream, node="comet1-2")

    structlog.get_logger("comet.app").info("subscribed")
    structlog.get_logger("comet.app").info("node joined", node="comet1-1")
    logging.getLogger("hypercorn.error").error("broken")

    assert [line["node"] for line in lines(stream)] == ["comet1-2", "comet1-1", "comet1-2"]


def test_libraries_are_heard_in_the_same_form_from_warnings_on() -> None:
    """Hypercorn would write a line per request; its trouble must be seen all the same."""
    stream = io.StringIO()
    configure_logs(LogConfig(level="debug"), stream)

    logging.getLogger("hypercorn.access").info("GET /")
    logging.getLogger("hypercorn.error").error("broken %s", "pipe")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)

    hypercorn, warned = lines(stream)
    assert (hypercorn["event"], hypercorn["logger"]) == ("broken pipe", "hypercorn.error")
    assert warned["logger"] == "py.warnings"


@pytest.mark.parametrize(
    ("level", "kept"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)]
)
def test_the_level_is_that_of_the_settings(level: str, kept: int) -> None:
    """[log] level."""
    stream = io.StringIO()
    configure_logs(LogConfig(level=level), stream)  # type: ignore[arg-type]  # a parameter of the test
    log = structlog.get_logger("web.app")

    log.debug("a")
    log.info("b")
    log.warning("c")

    assert len(lines(stream)) == kept


def test_a_terminal_gets_text_for_people_and_a_pipe_json() -> None:
    """format = "auto"; the other two force it."""
    terminal, pipe, forced = Terminal(), io.StringIO(), io.StringIO()

    for stream, form in ((terminal, "auto"), (pipe, "auto"), (forced, "console")):
        configure_logs(LogConfig(format=form), stream)  # type: ignore[arg-type]  # as above
        structlog.get_logger("web.app").info("started", port=1)

    assert "started" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert lines(pipe)[0]["event"] == "started"
    assert "\x1b" not in forced.getvalue()
    assert "port=1" in forced.getvalue()


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("value", [Broken(), {"deep": [Broken()]}, "half a \ud800"])
def test_no_value_makes_who_says_it_fail(form: str, value: object) -> None:
    """Values come from strangers; the event is told all the same."""
    stream = io.StringIO()
    configure_logs(LogConfig(format=form), stream)  # type: ignore[arg-type]  # as above

    structlog.get_logger("comet.app").warning("refused", name=value)
    logging.getLogger("hypercorn.error").error("broken %s")

    refused, broken = stream.getvalue().splitlines()
    assert "refused" in refused
    assert "broken" in broken


def test_a_stream_that_is_closed_costs_the_line() -> None:
    """As when a test is over and a thread of it still has something to say."""
    stream = io.StringIO()
    configure_logs(LogConfig(), stream)
    stream.close()

    structlog.get_logger("comet.app").warning("too late")
    logging.getLogger("hypercorn.error").error("too late")

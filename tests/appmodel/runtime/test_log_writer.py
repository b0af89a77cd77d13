"""A log that nobody reads costs lines; it never costs time, and never a half line."""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import TextIO

import pytest
import structlog

from appmodel.core.units import Size
from appmodel.runtime.config import LogConfig
from appmodel.runtime.log_writer import PIECE, LineWriter
from appmodel.runtime.logs import configure_logs, dropped_lines

BACKLOG = 256 * 1024  # bytes: more than twice what a pipe takes
PATIENCE = 30.0  # seconds: the machine may be busy


class Pipe:
    """A log's reader, which reads when it is asked to."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        self.capacity = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
        self.reader: TextIO = os.fdopen(reader)

    def lines(self, count: int) -> list[str]:
        """So many lines. Waits for them."""
        return [self.reader.readline() for _ in range(count)]

    def close(self) -> None:
        self.reader.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    with closing(made):
        yield made  # the writing end stays open: a thread of the test may still be in it


def test_what_is_read_is_written_in_order(pipe: Pipe) -> None:
    """Line by line, however many are written at once."""
    writer = LineWriter(pipe.writer, BACKLOG)

    written = [f"{number} {'x' * (number % 300)}\n" for number in range(200)]
    for line in written:
        writer.write(line)

    assert pipe.lines(200) == written
    assert writer.dropped == 0


def test_a_reader_that_stops_costs_lines_and_no_time(pipe: Pipe) -> None:
    """They are counted; those that were kept come whole and in order when it reads again."""
    writer = LineWriter(pipe.writer, BACKLOG)
    size = 100

    count = 3 * (pipe.capacity + BACKLOG) // size
    for number in range(count):
        writer.write(f"{number}".ljust(size - 1) + "\n")

    assert 0 < writer.dropped < count
    assert writer.take_untold() == 0  # there is no room to tell
    kept = [int(line) for line in pipe.lines(count - writer.dropped)]
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    writer.flush(PATIENCE)
    assert (writer.take_untold(), writer.take_untold()) == (writer.dropped, 0)


def test_lines_of_several_processes_are_not_mixed(pipe: Pipe) -> None:
    """Workers share the stderr of their supervisor: what is longer than a pipe takes at once is an exception."""
    writers = [LineWriter(pipe.writer, 10 * BACKLOG) for _ in range(3)]
    count = 300

    def write(writer: LineWriter, mark: str) -> None:
        for number in range(count):
            writer.write(mark * (1 + number * 13 % (PIECE - 1)) + "\n")

    threads = [
        threading.Thread(target=write, args=pair) for pair in zip(writers, "abc", strict=True)
    ]
    for thread in threads:
        thread.start()
    lines = pipe.lines(3 * count)
    for thread in threads:
        thread.join()

    assert all(len(set(line.rstrip("\n"))) == 1 for line in lines)


def test_a_line_longer_than_a_pipe_takes_is_whole(pipe: Pipe) -> None:
    """A traceback."""
    writer = LineWriter(pipe.writer, 10 * PIECE)

    writer.write("a" * 3 * PIECE + "\n")
    writer.write("b\n")

    assert pipe.lines(2) == ["a" * 3 * PIECE + "\n", "b\n"]


def test_a_reader_that_has_gone_is_no_error() -> None:
    """Lines are counted, and the next one is tried again."""
    reader, writing = os.pipe()
    os.close(reader)
    writer = LineWriter(writing, BACKLOG)

    for _ in range(3):
        writer.write("lost\n")
        writer.flush(PATIENCE)

    assert writer.dropped == 3


def test_the_log_tells_what_it_lacks(pipe: Pipe) -> None:
    """One line, once there is room again; and /metrics knows the number at any time."""
    with os.fdopen(pipe.writer, "w", closefd=False) as stream:
        configure_logs(LogConfig(backlog=Size(BACKLOG)), stream)
        log = structlog.get_logger("comet.app")
        count = 3 * (pipe.capacity + BACKLOG) // 100
        for number in range(count):
            log.info("said", number=number)
        lost = dropped_lines()
        assert 0 < lost < count
        pipe.lines(count - lost)

        configure_logs(LogConfig(), stream)  # at a reload: the count goes on
        log.info("again")

        said = [json.loads(line) for line in pipe.lines(2)]
        assert said[0]["event"] == "again"
        assert (said[1]["event"], said[1]["lines"]) == (
            "log lines dropped: nobody read them",
            lost,
        )
        assert dropped_lines() == lost

"""Lines of a stream, as they arrive in pieces (NDJSON: one JSON text per line)."""

from typing import NamedTuple


class Line(NamedTuple):
    """One line that is not blank."""

    number: int  # counted from 1, blank ones included
    text: bytes | None  # without its end; None = longer than the limit


class Lines:
    """Cuts pieces into lines. What it holds is bounded: of a line that is too long it keeps nothing."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of one line."""
        self._limit = limit
        self._rest = bytearray()
        self._too_long = False  # the line at hand is over the limit: skip to its end
        self._number = 0

    def receive(self, data: bytes) -> list[Line]:
        """The lines that `data` completes."""
        *ends, rest = data.split(b"\n")
        lines: list[Line] = []
        for end in ends:
            self._extend(end)
            self._finish(lines)
        self._extend(rest)
        return lines

    def end(self) -> list[Line]:
        """The last line, if the stream ended without its line feed."""
        lines: list[Line] = []
        if self._rest or self._too_long:
            self._finish(lines)
        return lines

    def _extend(self, data: bytes) -> None:
        if len(self._rest) + len(data) > self._limit:
            self._rest.clear()
            self._too_long = True
        elif not self._too_long:
            self._rest += data

    def _finish(self, lines: list[Line]) -> None:
        self._number += 1
        if self._too_long:
            lines.append(Line(self._number, None))
            self._too_long = False
        elif text := bytes(self._rest.strip()):
            lines.append(Line(self._number, text))
        self._rest.clear()

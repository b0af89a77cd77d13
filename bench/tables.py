"""What a benchmark hands back: tables to read, and rows of the issues' tables that it decides."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Aligned columns; the first is text, the others are numbers."""

    title: str
    columns: Row
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        cells = [self.columns, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        notes = [f"  {note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", lines[0], rule, *lines[1:], *notes])


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the issue's table. `reached` is None if it could not be measured here."""

    what: str
    measured: str
    must_reach: str
    reached: bool | None

    @classmethod
    def not_measured(cls, what: str, must_reach: str, why: str) -> "Verdict":
        return cls(what, why, must_reach, None)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one benchmark."""

    tables: Sequence[Table] = ()
    verdicts: Sequence[Verdict] = field(default_factory=tuple)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Of the tables of issues 2 and 3: measured, must reach, reached."""
    answers = {True: "yes", False: "NO", None: "-"}
    rows = [(v.what, v.measured, v.must_reach, answers[v.reached]) for v in verdicts]
    return Table("Measured and must reach", ("", "measured", "must reach", "reached"), rows)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, least and greatest: "5.93 (5.71-6.20)"."""
    low, middle, high = min(values), median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def percentiles(seconds: Sequence[float]) -> str:
    """p50 / p99 in milliseconds."""
    if len(seconds) < 2:
        return f"{seconds[0] * 1000:.1f} / -"
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49] * 1000:.1f} / {cuts[98] * 1000:.1f}"

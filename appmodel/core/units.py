"""Durations and sizes with their units, as configuration and callers write them: "30s", "64KiB"."""

import re
from collections.abc import Mapping
from typing import ClassVar, Self

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class Duration(float):
    """Seconds."""

    UNITS: ClassVar[Mapping[str, float]] = {
        "ms": 0.001,
        "s": 1.0,
        "m": 60.0,
        "min": 60.0,
        "h": 3600.0,
        "d": 86400.0,
    }
    EXPECTED = 'a duration such as "500ms", "30s", "10m", "24h" or "7d"'

    @classmethod
    def parse(cls, value: object) -> Self:
        """From "30s" or a number of seconds. Raises ValueError with what is expected."""
        return cls(_scaled(value, cls.UNITS, "s", cls.EXPECTED))


class Size(int):
    """Bytes."""

    UNITS: ClassVar[Mapping[str, float]] = {
        "b": 1.0,
        "kib": 1024.0,
        "mib": 1024.0**2,
        "gib": 1024.0**3,
    }
    EXPECTED = 'a size such as "512B", "64KiB", "1MiB" or "1GiB"'

    @classmethod
    def parse(cls, value: object) -> Self:
        """From "64KiB" or a number of bytes. Raises ValueError with what is expected."""
        return cls(_scaled(value, cls.UNITS, "b", cls.EXPECTED))


def _scaled(value: object, units: Mapping[str, float], default: str, expected: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return value
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[2] or default).lower() not in units:
        raise ValueError(f"expected {expected}")
    return float(match[1]) * units[(match[2] or default).lower()]

"""The messages that are pushed, and what must have become of them.

{"n":"00000042","text":"xxxx...xxxx"}        100 bytes, as pushed
{"msg":{...},"mid":1399647493834619,"gid":0}  as our subscribers get it; "live" too if not stored
"""

import re
from itertools import pairwise

from bench.load import LoadFailed

SIZE = 100  # bytes
_NUMBER = re.compile(rb'"n":"(\d{8})"')
_MID = re.compile(rb'"mid":(\d+)')


def body(number: int) -> bytes:
    """A message of SIZE bytes that no other number has: JSON without white space."""
    start = b'{"n":"%08d","text":"' % number
    return start + b"x" * (SIZE - len(start) - 2) + b'"}'


class Numbers:
    """The numbers of the messages that one subscriber gets, however its stream is cut."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def receive(self, data: bytes) -> list[int]:
        """Those that `data` completes."""
        text = self._rest + data
        found = list(_NUMBER.finditer(text))
        self._rest = text[found[-1].end() :] if found else text
        return [int(each[1]) for each in found]


def check_order(text: bytes, count: int | None = None) -> int:
    """All that one subscriber of ours received: `count` messages, ids rising. How many they are.

    Raises:
        LoadFailed: a message is missing, came twice or out of order.
    """
    ids = [int(digits) for digits in _MID.findall(text)]
    if count is not None and len(ids) != count:
        raise LoadFailed(f"a subscriber got {len(ids)} messages, expected {count}")
    if any(later <= earlier for earlier, later in pairwise(ids)):
        raise LoadFailed("a subscriber got message ids that do not rise")
    return len(ids)

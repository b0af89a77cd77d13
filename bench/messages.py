"""The messages that are pushed, and what must have become of them.

{"n":"00000042","text":"xxxx...xxxx"}        100 bytes, as pushed
{"msg":{...},"mid":1399647493834619,"gid":0}  as our subscribers get it
"""

import re
from itertools import pairwise

from bench.load import LoadFailed

SIZE = 100  # bytes
_MID = re.compile(rb'"mid":(\d+)')


def body(number: int) -> bytes:
    """A message of SIZE bytes that no other number has: JSON without white space."""
    start = b'{"n":"%08d","text":"' % number
    return start + b"x" * (SIZE - len(start) - 2) + b'"}'


def check_order(text: bytes, count: int) -> None:
    """All that one subscriber of ours received: `count` messages, ids rising.

    Raises:
        LoadFailed: a message is missing, came twice or out of order.
    """
    ids = [int(digits) for digits in _MID.findall(text)]
    if len(ids) != count:
        raise LoadFailed(f"a subscriber got {len(ids)} messages, expected {count}")
    if any(later <= earlier for earlier, later in pairwise(ids)):
        raise LoadFailed("a subscriber got message ids that do not rise")

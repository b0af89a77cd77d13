"""Numbers in parameters, as the originals' parsers take them."""

import re

from appmodel.errors import BadInput

_SIGNED = re.compile(r"[+-]?[0-9]{1,19}")
_UNSIGNED = re.compile(r"[0-9]{1,20}")
MAX_INT64 = 2**63 - 1


def signed(field: str, text: str) -> int:
    """A 64-bit integer, like Go's ParseInt(text, 10, 64).

    Raises:
        BadInput: empty, other characters, or out of range.
    """
    if _SIGNED.fullmatch(text):
        number = int(text)
        if -MAX_INT64 - 1 <= number <= MAX_INT64:
            return number
    raise BadInput(field, text, "a whole number of 64 bits")


def unsigned(field: str, text: str, *, most: int) -> int:
    """A whole number from 0 to `most`.

    Raises:
        BadInput: empty, other characters, or above.
    """
    if _UNSIGNED.fullmatch(text):
        number = int(text)
        if number <= most:
            return number
    raise BadInput(field, text, f"a whole number from 0 to {most}")

"""A text cut to what still fits into a notification, never through a character.

A character is what a reader takes for one: a letter with its accents, a family of emoji, a flag. The rules
are those of Unicode's UAX #29 that matter for chat; scripts whose syllables it also keeps together
(Hangul as single jamo, Devanagari) may be cut between two of their signs, which stays readable.
"""

import unicodedata

import msgspec

ELLIPSIS = "..."  # as the original's

_JOINER = "\u200d"  # glues emoji: family, profession
_SELECTORS = range(0xFE00, 0xFE10)  # how the character before is to look
_SKINS = range(0x1F3FB, 0x1F400)
_FLAGS = range(0x1F1E6, 0x1F200)  # two letters make a flag
_TAGS = range(0xE0020, 0xE0080)  # of flags of regions

_encode = msgspec.json.Encoder().encode


def json_size(text: str) -> int:
    """Bytes of `text` inside a JSON document, without its quotes."""
    return len(_encode(text)) - 2


def cut(text: str, room: int) -> str:
    """`text`, or as much of its start as fits with "..." behind it.

    Args:
        room: bytes in a JSON document, without quotes; 0 or more.
    """
    if json_size(text) <= room:
        return text
    end = _longest(text, room - len(ELLIPSIS))
    while end and _is_inside(text, end):
        end -= 1
    start = text[:end].rstrip()
    return start + ELLIPSIS if start else ""


def _longest(text: str, room: int) -> int:
    """The most characters of `text` that fit."""
    low, high = 0, min(len(text), max(room, 0))  # each takes a byte or more
    while low < high:
        middle = (low + high + 1) // 2
        if json_size(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _is_inside(text: str, end: int) -> bool:
    """Whether a cut before `text[end]` would part what belongs together."""
    before, after = text[end - 1], text[end]
    if _JOINER in (before, after) or unicodedata.category(after)[0] == "M":
        return True
    code = ord(after)
    if code in _SELECTORS or code in _SKINS or code in _TAGS:
        return True
    return code in _FLAGS and _flag_letters_before(text, end) % 2 == 1


def _flag_letters_before(text: str, end: int) -> int:
    start = end
    while start and ord(text[start - 1]) in _FLAGS:
        start -= 1
    return end - start

"""What a path of Mpush's HTTP side means: whom it is for, and what is wanted.

    /test                     push to test                                  any method but DELETE
    /a,b,family.group         push to a, b and the members of family
    /test.send, /g.group      the same as version 2.2 does it, answered in its words
    /test/json, /test/sse     read what came                                GET only: a device may be called so, and
    /test/status              what became of a mid                          POST reaches it
    /test/delayed             what waits for its time; /g.group/delayed: of a group
    /test/delayed/<id>        take it back                                  DELETE

A path is decoded once. A device may be called anything that can be printed, so names are tried in several spellings
(`spellings`), and a path with commas is one device if there is such a one. A proxy that hands on with a prefix must
strip it: here it would be part of the name.

Source: spec/mpush.md 7.1, 8.1, 11.5. The seed compares undecoded paths: devices with names beyond ASCII could not be
reached; version 2.2 splits at the first dot: `/a.b.send` went to `a`, and `/x.sendz` to `x`.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple
from urllib.parse import quote

from appmodel.errors import TooLarge

SEND, GROUP = ".send", ".group"
MAX_PARTS = 100  # names in one path

_COMPONENT = "!'()*"  # what encodeURIComponent of browsers leaves, beside what Python does
_WHOLE = _COMPONENT + ";,/?:@&=+$#"  # encodeURI


class Wanted(Enum):
    """What is to be done."""

    PUSH = ""
    JSON = "/json"
    SSE = "/sse"
    STATUS = "/status"
    DELAYED = "/delayed"
    CANCEL = "/delayed/"


class Target(NamedTuple):
    """Whom a push is for."""

    name: str
    is_group: bool = False


class Aim(NamedTuple):
    """What a path means."""

    wanted: Wanted
    whole: str  # the name, if it is one
    parts: tuple[Target, ...] = ()  # the names, if it is several; of a push always one or more
    is_version_2: bool = False  # every part says .send or .group
    delayed_id: str = ""  # of CANCEL


_READS = (Wanted.JSON, Wanted.SSE, Wanted.STATUS, Wanted.DELAYED)


def read_path(method: str, path: str) -> Aim:
    """`path`: percent-decoded, with its first slash.

    Raises:
        TooLarge: more than MAX_PARTS names.
    """
    name = path.removeprefix("/")
    if method == "GET" and "/" in name:
        for wanted in _READS:
            if name.endswith(wanted.value):
                return Aim(wanted, name.removesuffix(wanted.value))
    if method == "DELETE":
        device, _, delayed_id = name.rpartition(Wanted.CANCEL.value)
        return Aim(Wanted.CANCEL, device, delayed_id=delayed_id)
    if "." not in name and "," not in name:  # nearly all
        return Aim(Wanted.PUSH, name, (Target(name),))
    parts = name.split(",", MAX_PARTS)
    if len(parts) > MAX_PARTS:
        raise TooLarge(f"path: more than {MAX_PARTS} names")
    is_version_2 = all(part.endswith((SEND, GROUP)) for part in parts)
    return Aim(Wanted.PUSH, name, tuple(map(read_target, parts)), is_version_2)


def read_target(part: str) -> Target:
    """Whom one name of a path means."""
    if part.endswith(GROUP):
        return Target(part.removesuffix(GROUP), is_group=True)
    return Target(part.removesuffix(SEND))


def spellings(name: str) -> Iterator[str]:
    """How a device may be called that somebody means by `name`, the likeliest first.

    As it is; without the slash at its end; and percent-encoded, as clients of the seed had to log in.
    """
    yield name
    if name.endswith("/"):
        yield name.removesuffix("/")
    for safe in (_COMPONENT, _WHOLE):
        encoded = quote(name, safe=safe)
        if encoded != name:
            yield encoded

"""What an application may do, as the column `application.permissions` holds it.

    "push sync"    these            ""    the default: push sessions auth            "none"    nothing

A name that this version does not know grants nothing.
"""

from collections.abc import Iterable

from appmodel.errors import BadInput
from web.core.principals import APPLICATION_DEFAULT, Permission

NONE = "none"


def permissions_of(text: str) -> frozenset[Permission]:
    """What the column grants."""
    if not text.strip():
        return APPLICATION_DEFAULT
    known = {permission.value for permission in Permission}
    return frozenset(Permission(name) for name in text.split() if name in known)


def permissions_text(names: Iterable[str], *, field: str = "permissions") -> str:
    """The column for these.

    Raises:
        BadInput: a name that does not exist.
    """
    wanted = set(names)
    known = [permission.value for permission in Permission]
    for name in sorted(wanted):
        if name not in known:
            raise BadInput(field, name, f"some of {', '.join(known)}")
    return " ".join(name for name in known if name in wanted) or NONE

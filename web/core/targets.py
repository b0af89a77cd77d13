"""Names that a push may be addressed to.

    u1@user        a user: inbox and sessions
    g7@qun         the members of a group
    d3@org         the members of a department        d3@org/**     and of all below it (ours)
    t1@tenant      everybody of a tenant
    a1@app         an application: an inbox of its own
    anything else  a key of a gopush client

Source: spec/appmsgsrv.md section 6. Difference: an unknown suffix is refused by the application API; the
original pushed to nobody and said 0.
"""

import enum
from typing import NamedTuple

from appmodel.core.names import Key, parse_key
from appmodel.errors import BadInput

SUBTREE = "/**"


class Kind(enum.StrEnum):
    """What a name stands for. The values are suffixes, and push types of the statistics."""

    USER = "@user"
    GROUP = "@qun"
    ORG = "@org"
    SUBTREE = "@org/**"
    TENANT = "@tenant"
    APP = "@app"


_KINDS = {kind.value.removeprefix("@"): kind for kind in Kind if kind is not Kind.SUBTREE}


class Target(NamedTuple):
    """A name, taken apart. Hashable."""

    kind: Kind
    id: str

    @property
    def name(self) -> str:
        """As it is written."""
        return f"{self.id}{self.kind.value}"

    @property
    def key(self) -> Key:
        """Of a user or an application: the inbox."""
        return Key("", self.id, self.kind.value.removeprefix("@"))


def user_key(uid: str) -> Key:
    """The inbox of a user."""
    return Key("", uid, "user")


def parse_target(text: str, field: str) -> Target:
    """The target called `text`.

    Raises:
        BadInput: it is no name that a message can be addressed to.
    """
    target = find_target(text, field)
    if target is None:
        expected = "a name such as u1@user, g1@qun, d1@org, d1@org/**, t1@tenant or a1@app"
        raise BadInput(field, text, expected)
    return target


def find_target(text: str, field: str) -> Target | None:
    """The target called `text`; None if it is a key of another kind. Raises BadInput if it is neither."""
    subtree = text.endswith(f"@org{SUBTREE}")
    key = parse_key(text.removesuffix(SUBTREE) if subtree else text, field=field)
    if not key.suffix or "@" in key.id:
        return None
    return Target(Kind.SUBTREE if subtree else _KINDS[key.suffix], key.id)

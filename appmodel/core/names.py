"""Names and keys: who a message is for.

A name is `id@suffix`; the suffix says user, group (qun), org, tenant or app. A key is what a client
subscribes to: a name, or a session of a user (`u1_Android-d1@user`), or any opaque text that a
gopush client chose. A realm separates the systems that share a cluster: native clients live in the
default realm "" and see the plain text; a key of another realm can never equal one of theirs.

    text                    Key(realm, id, suffix)                 routed by
    u1@user                 ("", "u1", "user")                     u1@user
    u1_Android-d1@user      ("", "u1_Android-d1", "user")          u1@user   all devices, one owner
    a_b@user of /demo       ("/demo", "a_b", "user")               itself    a namespace of Socket.IO: no sessions
    Terry-Mao, x@gmail.com  ("", "x@gmail.com", "")                itself
    test@mpush              ("", "test@mpush", "")                 itself    a queue: the device "test" of Mpush

Source: appmsgsrv session naming (spec/appmsgsrv.md); gopush-cluster keys are opaque.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta

from appmodel.errors import BadInput

SUFFIXES = frozenset({"user", "qun", "org", "tenant", "app"})
MAX_KEY = 255  # bytes of UTF-8; ours: the original's MySQL column holds 64 characters
MAX_REALM = 250  # characters: with its key below the 512 that a SQL store has for both
QUEUE = "@mpush"  # how a key ends whose messages wait in a queue; see core/mpush.py
QUEUE_STEP = (
    1000  # µs: between the ids of a queue's messages, at least; all of them are multiples of it
)
REALM_MARK = "\x1f"  # between realm and name in stores; no name can contain a control character


class Key(NamedTuple):
    """A subscription key. Hashable, ordered, and the same value on every node."""

    realm: Annotated[str, Meta(max_length=MAX_REALM)]
    id: Annotated[str, Meta(max_length=MAX_KEY)]
    suffix: Annotated[str, Meta(max_length=4)]

    def __str__(self) -> str:
        """What a client of the realm sees."""
        return f"{self.id}@{self.suffix}" if self.suffix else self.id

    @property
    def stored(self) -> str:
        """One text for stores and logs; `from_stored` turns it back."""
        return f"{self.realm}{REALM_MARK}{self}" if self.realm else str(self)

    @property
    def routed(self) -> str:
        """The text that the ring hashes: a session goes where its user's inbox goes."""
        inbox = self.inbox
        return self.stored if inbox is None else inbox.stored

    @property
    def is_of_namespace(self) -> bool:
        """Its realm is a namespace of Socket.IO: there names may contain anything, and keys are not stored."""
        return self.realm[:1] == "/"

    @property
    def is_queue(self) -> bool:
        """A device of Mpush: its messages have ids that are whole milliseconds, and more of them are kept."""
        return not self.suffix and not self.realm and self.id[-6:] == QUEUE

    @property
    def inbox(self) -> "Key | None":
        """Of a session's key: the key of its user. None if it is no session's."""
        if self.suffix == "user" and "_" in self.id and not self.is_of_namespace:
            owner = self.id.partition("_")[0]
            if owner:
                return Key(self.realm, owner, self.suffix)
        return None

    @property
    def user(self) -> str | None:
        """Of an inbox or a session's key of the default realm: the id of its user. None for others."""
        if self.suffix != "user" or self.realm:
            return None
        return self.id.partition("_")[0] or None

    @classmethod
    def from_stored(cls, text: str) -> "Key":
        """The key whose `stored` is `text`. Trusts it: for texts that we wrote ourselves."""
        realm, mark, name = text.rpartition(REALM_MARK)
        return _split(realm if mark else "", name)


def parse_key(text: str, realm: str = "", *, field: str = "key") -> Key:
    """The key that a client or caller named.

    Raises:
        BadInput: empty, over MAX_KEY bytes, or with a character that cannot be printed.
    """
    if not text:
        raise BadInput(field, text, "a key that is not empty")
    if not text.isprintable():
        raise BadInput(field, text, "printable characters only")
    if len(text) > MAX_KEY or (not text.isascii() and len(text.encode()) > MAX_KEY):
        raise BadInput(field, text, f"at most {MAX_KEY} bytes")
    return _split(realm, text)


def check_keys(keys: Sequence[Key]) -> Sequence[Key]:
    """`keys` from another node, if they are such as `parse_key` makes.

    Raises:
        BadInput: one has a character that cannot be printed: stores split or refuse it.
    """
    for key in keys:
        if not (key.id.isprintable() and key.realm.isprintable()):
            raise BadInput("key", key.stored, "printable characters only")
    return keys


def _split(realm: str, text: str) -> Key:
    identifier, at, suffix = text.rpartition("@")
    if at and identifier and suffix in SUFFIXES:
        return Key(realm, identifier, suffix)
    return Key(realm, text, "")

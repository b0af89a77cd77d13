"""A push under way: parts of its keys that share their fate.

    push   u1 u2 u3 u4
    parts  [u1 u3] of comet a    [u2 u4] of comet b      and taken apart again when the ring moves

What is heard of a part decides whether it is under way any longer:

    Delivery              done
    NotOwner              again: the ring has moved
    Unavailable           again: nothing was done
    OutcomeUnknown        again if it is stored, for the store knows its push id; else that is the verdict
    NotStored and others  that is the verdict

A doubt stays: that a later try was refused does not undo the first. So a part that may have been
done is given up as OutcomeUnknown, and one that surely was not with its last error (law 7 of the
cluster: a refusal is the truth).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from appmodel.core.cluster import ClusterView
from appmodel.core.message import Delivery, Push
from appmodel.core.names import Key
from appmodel.errors import NoNode, NotOwner, NotStored, OutcomeUnknown, PushError, Unavailable
from web.core.orders import Outcome


@dataclass(slots=True, eq=False)
class Part:
    """Some keys of a push. It is under way until it has a verdict."""

    number: int  # of its push in the call: pushes to one key stay in their order
    outcome: Outcome
    push: Push  # with the keys of this part only
    under_way: set["Part"]  # all of the call
    trouble: PushError | None = None  # why it is not done yet

    @property
    def is_under_way(self) -> bool:
        """It has no verdict."""
        return self in self.under_way

    @property
    def is_stored(self) -> bool:
        """It has a ttl: it may be repeated, and saved without its owner."""
        return self.push.expires_at > 0

    def hear(self, answer: Delivery | PushError) -> None:
        """What somebody says who was asked to do it."""
        if isinstance(answer, Delivery):
            self.outcome.add(self.push.keys, answer)
            self.under_way.discard(self)
        elif self._may_be_repeated(answer):
            self.note(answer)
        else:
            self.give_up(answer)

    def note(self, error: PushError) -> None:
        """Remember why it is not done yet, unless it may be."""
        if not isinstance(self.trouble, OutcomeUnknown):
            self.trouble = error

    def give_up(self, error: PushError) -> None:
        """`error` is the verdict, unless an earlier try is in doubt."""
        self.note(error)
        assert self.trouble is not None
        self.outcome.failed.update(dict.fromkeys(self.push.keys, self.trouble))
        self.under_way.discard(self)

    def take_apart(self, groups: Iterable[list[Key]]) -> list["Part"]:
        """Parts of these keys instead of this one."""
        self.under_way.discard(self)
        parts = [
            Part(self.number, self.outcome, self.push.part(keys), self.under_way, self.trouble)
            for keys in groups
        ]
        self.under_way.update(parts)
        return parts

    def _may_be_repeated(self, error: PushError) -> bool:
        if isinstance(error, OutcomeUnknown):
            return self.is_stored
        return isinstance(error, NotOwner | Unavailable) and not isinstance(error, NotStored)


def by_owner(view: ClusterView, parts: Iterable[Part]) -> dict[str, list[Part]]:
    """The parts by owner, order kept, taken apart where owners differ. A key without an owner fails."""
    batches: dict[str, list[Part]] = {}
    for part in parts:
        groups = view.by_owner(part.push.keys)
        pieces = [part] if len(groups) == 1 else part.take_apart(groups.values())
        for owner, piece in zip(groups, pieces, strict=True):
            if owner is None:
                piece.give_up(NoNode("no comet is registered"))
            else:
                batches.setdefault(owner, []).append(piece)
    return batches


def in_order(parts: Iterable[Part]) -> list[Part]:
    """As their pushes came."""
    return sorted(parts, key=lambda part: part.number)

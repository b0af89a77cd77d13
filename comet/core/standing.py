"""Where this comet stands in a view: which keys are its own, and who owns the others.

A name on the ring may have several processes: only the one that leads owns keys, so a comet asks
with its incarnation whether the owner of a key is itself (a standby of that name is not).
"""

from collections.abc import Iterable

from appmodel.core.cluster import ClusterView, Node
from appmodel.core.names import Key


class Standing:
    """One comet in one view. Immutable like the view."""

    __slots__ = ("_leads", "_me", "alone", "view")

    def __init__(self, me: Node, view: ClusterView) -> None:
        leader = view.comets.get(me.name)
        self.view = view
        self._me = me
        self._leads = leader is not None and leader.is_same_process(me)
        self.alone = self._leads and view.sole_owner == me.name  # every key is ours: hash nothing

    def owns(self, key: Key) -> bool:
        """Whether `key` is ours."""
        return self.alone or (self._leads and self.view.ring.owner(key.routed) == self._me.name)

    def elsewhere(self, key: Key) -> Node | None:
        """The comet that owns `key`, if it is another one; None if it is ours, or nobody's."""
        if self.alone:
            return None
        owner = self.view.owner(key)
        return None if owner is None or owner.is_same_process(self._me) else owner

    def split(self, keys: Iterable[Key]) -> tuple[list[Key], dict[str, list[Key]], list[Key]]:
        """`keys` that are ours, those of others by the owner's name, and those without an owner."""
        if self.alone:
            return list(keys), {}, []
        groups = self.view.by_owner(keys)
        orphans = groups.pop(None, [])
        ours = groups.pop(self._me.name, []) if self._leads else []
        return ours, {name: mine for name, mine in groups.items() if name is not None}, orphans

    @property
    def is_on_ring(self) -> bool:
        """Whether we own anything."""
        return self._leads

    @property
    def announced(self) -> Node | None:
        """This process as the registry has it, the operator's wishes laid over it; None if it is not."""
        return self.view.find(self._me)

    def has_same_ring(self, other: "Standing") -> bool:
        """Whether every key has the same owner in both."""
        if self.view.ring_kind is not other.view.ring_kind:
            return False
        return _owners(self.view) == _owners(other.view)


def _owners(view: ClusterView) -> dict[str, tuple[int, int]]:
    return {name: (node.weight, node.incarnation) for name, node in view.comets.items()}

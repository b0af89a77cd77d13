"""Whose sessions are left behind: processes that have not been in the view for a while.

The first comet on the ring forgets them after one grace, the second after two, and so on, in case those
before it do not. A view can lack somebody who lives: what was forgotten too early comes back, because each
comet compares what it holds with what is written.
"""

from collections.abc import Collection, Iterable

from appmodel.core.cluster import ClusterView, Node, Role
from appmodel.core.sessions import Holder

MAX_RANK = 4  # graces for everybody from there on


class Absence:
    """Since when which process has been missing. Times are of any steady clock, in seconds."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._missing: dict[Holder, float] = {}

    def __bool__(self) -> bool:
        """Whether somebody is missing."""
        return bool(self._missing)

    def look(
        self, holders: Iterable[Holder], view: ClusterView, me: Node, now: float
    ) -> Collection[Holder]:
        """Those of `holders` that `me` should forget now; never itself, also if the view lacks it."""
        others = (one for one in holders if one != (me.name, me.incarnation))
        gone = [one for one in others if view.find(_as_node(one)) is None]
        self._missing = {one: self._missing.get(one, now) for one in gone}
        patience = self._grace * _rank(view, me)
        return [one for one, since in self._missing.items() if now - since >= patience]


def _as_node(holder: Holder) -> Node:
    return Node(Role.COMET, holder.node, holder.incarnation)


def _rank(view: ClusterView, me: Node) -> int:
    """1 for the first on the ring. A comet that is not on it is behind all of them."""
    names = sorted(view.comets)
    leads = me.name in view.comets and view.comets[me.name].is_same_process(me)
    return min(names.index(me.name) + 1, MAX_RANK) if leads else MAX_RANK

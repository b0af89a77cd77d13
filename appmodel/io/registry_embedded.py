"""A registry without a server beside it: what this process announces, and what is configured.

All-in-one, every node is in this process and the view is complete. With `[[registry.nodes]]` the
parts run as processes of their own and know of each other from the configuration: such a node counts
as alive, whether it answers or not, until it announces itself here and withdraws.
"""

from collections.abc import Iterable

import trio

from appmodel.core.cluster import ClusterView, Node, RingKind, Role
from appmodel.errors import ConfigError


class EmbeddedRegistry:
    """A `Registry` for one process."""

    def __init__(
        self, static_nodes: Iterable[Node] = (), *, ring_kind: RingKind = RingKind.SHA
    ) -> None:
        """With the configured nodes of other processes.

        Raises:
            ConfigError: two of one role and name, or one that cannot be called.
        """
        self._nodes: dict[tuple[Role, str], Node] = {}
        self._changed = trio.Event()
        for node in static_nodes:
            if (node.role, node.name) in self._nodes:
                expected = f"only one {node.role.value} node of that name"
                raise ConfigError("registry.nodes.name", node.name, expected)
            if not node.rpc and node.role is not Role.WEB:
                expected = f"the host:port where {node.role.value} node {node.name!r} takes calls"
                raise ConfigError("registry.nodes.rpc", node.rpc, expected)
            self._nodes[node.role, node.name] = node
        self._view = ClusterView(0, self._sorted(), ring_kind)

    @property
    def view(self) -> ClusterView:
        """The nodes as they are now, by role and name."""
        return self._view

    @property
    def trouble(self) -> None:
        """There is nothing that could be away."""
        return

    async def register(self, node: Node) -> None:
        """Announce `node`, or change what is known of the node of that role and name."""
        if self._nodes.get((node.role, node.name)) != node:
            self._nodes[node.role, node.name] = node
            self._publish()
        await trio.lowlevel.checkpoint()

    async def withdraw(self, node: Node) -> None:
        """Take back an announcement. Nothing happens if it is gone or of a newer incarnation."""
        known = self._nodes.get((node.role, node.name))
        if known is not None and known.incarnation <= node.incarnation:
            del self._nodes[node.role, node.name]
            self._publish()
        await trio.lowlevel.checkpoint()

    async def wait_newer(self, version: int) -> ClusterView:
        """The first view with a version above `version`. Cancelling is safe."""
        while self._view.version <= version:
            await self._changed.wait()
        return self._view

    def _publish(self) -> None:
        self._view = ClusterView(self._view.version + 1, self._sorted(), self._view.ring_kind)
        self._changed.set()
        self._changed = trio.Event()

    def _sorted(self) -> tuple[Node, ...]:
        return tuple(self._nodes[known] for known in sorted(self._nodes))

"""What others see of a node in a registry."""

from appmodel.core.cluster import Role, State
from appmodel.core.interfaces import Registry


async def note_states(registry: Registry, role: Role, seen: list[list[State]]) -> None:
    """Note the states of the nodes of `role` whenever they change, until there is none."""
    view = registry.view
    while True:
        now = [node.state for node in view.nodes if node.role is role]
        if not seen or seen[-1] != now:
            seen.append(now)
        if not now:
            return
        view = await registry.wait_newer(view.version)

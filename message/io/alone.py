"""A store that no other message node shares serves a cluster only while its node is the only one.

Callers go to any message node. With a store each, half of a key's messages would be in the one and half
in the other, with marks that know nothing of each other: nobody would see what is missing. So a node
whose store lies in its own memory or its own file does not start beside another one.

    before it registers    any other message node, whatever its state
    after                  one that registered in between and is older: of two, one stays
"""

from appmodel.core.cluster import Node, Role
from appmodel.core.interfaces import Registry
from appmodel.errors import ConfigError

UNSHARED = frozenset({"memory", "sqlite"})


async def register_alone(registry: Registry, me: Node, store: str) -> None:
    """Register the message node `me`, whose store is of this kind.

    Raises:
        ConfigError: there is another, and the store is not shared. Then it is not registered.
    """
    others = _others(registry, me) if store in UNSHARED else []
    if others:
        raise _refusal(store, others[0])
    await registry.register(me)
    others = _others(registry, me) if store in UNSHARED else []
    older = [node for node in others if node.incarnation < me.incarnation]
    if older:
        await registry.withdraw(me)
        raise _refusal(store, older[0])


def _others(registry: Registry, me: Node) -> list[Node]:
    """Message nodes of other names; one of ours is what is left of the process before."""
    return [n for n in registry.view.nodes if n.role is Role.MESSAGE and n.name != me.name]


def _refusal(store: str, other: Node) -> ConfigError:
    where = f" at {other.rpc}" if other.rpc else ""
    return ConfigError(
        "message.store",
        store,
        f"a store that message nodes share, for {other.name!r}{where} is registered too",
    )

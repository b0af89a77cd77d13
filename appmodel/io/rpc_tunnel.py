"""A connection to another node that carries something else than calls, over the listener for calls.

Both have proved the cluster's secret to each other, and the purpose is part of the proof; behind that the
bytes are those of whoever asked. So there is one port between nodes, and no second secret.
"""

import trio

from appmodel.errors import ConfigError, Unavailable
from appmodel.io.rpc_client import dial, dialled
from appmodel.io.rpc_link import RpcLimits, RpcLink, reason
from appmodel.io.wire import Wire
from appmodel.protocol import rpc


async def open_tunnel(address: str, purpose: str, *, secret: bytes, limits: RpcLimits) -> Wire:
    """A connection to the node at "host:port" for `purpose`; whoever asked closes it. Cancelling is safe.

    Raises:
        Unavailable: it cannot be reached in `limits.connect_timeout`, or is a stranger.
    """
    wire: Wire | None = None
    opened = False
    try:
        with trio.fail_after(limits.connect_timeout):
            wire = await dial(*dialled(address, secret))
            link = RpcLink(wire, rpc.Role.CLIENT, secret=secret, limits=limits, purpose=purpose)
            await link.shake_hands()
        opened = True
        return link.surrender()
    except trio.TooSlowError:
        why = f"no connection within {limits.connect_timeout:g} s"
    except ConfigError as error:
        why = str(error)
    except (OSError, UnicodeError, rpc.RpcProtocolError, trio.BrokenResourceError) as error:
        why = reason(error)
    finally:
        if wire is not None and not opened:
            wire.close()
    raise Unavailable(f"no connection with {address}: {why}")

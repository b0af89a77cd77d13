"""How a client of Socket.IO comes in over a WebSocket, for the load generator: Engine.IO 4, no polling.

    GET /socket.io/?EIO=4&transport=websocket&uuid=c17      0{"sid":...}
    40/demo,                                                40/demo,{"sid":...}   42/demo,["ok",{...}]
    42/demo,0["joinRoom",["bench","g1"]]                    43/demo,0[{"status":200,"msg":"ok"}]

All servers are asked the same. light-push wants the uuid, the others do not read it.
"""

import json
from collections.abc import Sequence

from bench.frames import client_frame, upgrade_request
from bench.load import Dialogue

NAMESPACE = "/demo"
ROOM = "bench"  # of the fan-out
PATH = "/socket.io/?EIO=4&transport=websocket"
JOINED = b'[{"status":200,"msg":"ok"}]'


def arrival(port: int, name: str) -> Dialogue:
    """Into the namespace, until it says `ok`."""
    return [
        (upgrade_request(port, f"{PATH}&uuid={name}"), b"}"),
        (client_frame(f"40{NAMESPACE},".encode()), b"}]"),
    ]


def member(port: int, name: str, rooms: Sequence[str]) -> Dialogue:
    """The same, and into `rooms`."""
    asked = json.dumps(["joinRoom", rooms], separators=(",", ":"))
    joined = b"43%b,0%b" % (NAMESPACE.encode(), JOINED)
    return [*arrival(port, name), (client_frame(f"42{NAMESPACE},0{asked}".encode()), joined)]

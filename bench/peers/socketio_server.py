"""python-socketio's AsyncServer on aiohttp: clients of /demo join rooms, a POST goes to the room `bench`.

Prints its port. SIGUSR2 collects garbage, so that memory per client is not memory per handshake. Pings are
an hour apart: who plays is not disturbed by those who wait.
"""

import asyncio
import gc
import signal
from collections.abc import Sequence
from typing import Any

import socketio
from aiohttp import web

NAMESPACE, ROOM = "/demo", "bench"
QUIET = 3600  # seconds between pings

server = socketio.AsyncServer(async_mode="aiohttp", ping_interval=QUIET, always_connect=True)


async def connect(sid: str, _environ: dict[str, Any], _auth: object = None) -> None:
    """Everybody may come in."""
    await server.emit("ok", {"clientId": sid}, to=sid, namespace=NAMESPACE)


async def join(sid: str, rooms: Sequence[str]) -> dict[str, Any]:
    """The answer is the acknowledgement."""
    for room in rooms:
        await server.enter_room(sid, room, namespace=NAMESPACE)
    return {"status": 200, "msg": "ok"}


async def push(request: web.Request) -> web.Response:
    """To all in the room."""
    await server.emit("push", await request.json(), to=ROOM, namespace=NAMESPACE)
    return web.Response(body=b'{"ret":0}', content_type="application/json")


async def main() -> None:
    """Serve until killed."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, gc.collect)
    server.on("connect", connect, namespace=NAMESPACE)
    server.on("joinRoom", join, namespace=NAMESPACE)
    app = web.Application()
    server.attach(app)
    app.router.add_post("/{tail:.*}", push)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

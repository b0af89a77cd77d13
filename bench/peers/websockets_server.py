"""Python `websockets` with its own broadcast(): what comes on /control goes to every subscriber.

Prints its port. No compression (64 KiB per client with it) and no pings: its cheapest form.
SIGUSR2 collects garbage, so that memory per client is not memory per handshake.
"""

import asyncio
import gc
import signal

from websockets.asyncio.server import ServerConnection, broadcast, serve

subscribers: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    """One client, until it hangs up."""
    assert connection.request is not None
    if connection.request.path == "/control":
        async for message in connection:
            broadcast(subscribers, message)
        return
    await connection.send("+h\r\n")
    subscribers.add(connection)
    try:
        await connection.wait_closed()
    finally:
        subscribers.discard(connection)


async def main() -> None:
    """Serve until killed."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, gc.collect)
    serving = serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096)
    async with serving as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

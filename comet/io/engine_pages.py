"""What else is served where Socket.IO is: its client for browsers, and a word for those who ask for life.

    GET /socket.io/socket.io.js    the client of 2.x, without its map; ETag "2.5.0"
    GET /health                    hello
    anything else                  404, from: light-push

The script is dist/socket.io.js of socket.io-client 2.5.0 from npm (MIT: comet/static/socket.io-LICENSE.txt).
Clients of 3.x and 4.x come with the page's own build.

Source: socket.io 2.x lib/index.js (`serve`), light-push src/socket/index.js.
"""

from pathlib import Path

import trio

from appmodel.protocol.http import Request, Response, Route, plain

SCRIPT = Path(__file__).parents[1] / "static" / "socket.io.js"
VERSION = "2.5.0"
ETAG = f'"{VERSION}"'


def page_routes(path: str) -> list[Route]:
    """`path` is that of Socket.IO."""
    script = SCRIPT.read_bytes()

    async def client(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        headers = [("Cache-Control", "public, max-age=0"), ("ETag", ETAG)]
        if request.headers.get("if-none-match", "").removeprefix("W/") == ETAG:
            return Response(status=304, headers=headers)
        headers.append(("Content-Type", "application/javascript; charset=utf-8"))
        return Response(headers=headers, body=script)

    return [
        Route(method="GET", path=f"{path}socket.io.js", handler=client, max_body=0),
        Route(method="GET", path="/health", handler=_health, max_body=0),
    ]


async def not_here(_request: Request) -> Response:
    """For every other path."""
    await trio.lowlevel.checkpoint()
    response = plain(404, "Not Found")
    response.headers.append(("from", "light-push"))
    return response


async def _health(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return plain(200, "hello")

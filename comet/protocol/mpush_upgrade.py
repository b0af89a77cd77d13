"""How Mpush's port becomes a WebSocket: any path, any Origin's choice, versions 13 and 8.

    no Upgrade header                                       426 `Upgrade Required`
    another method than GET, a bad key, another version     400, and the connection is closed
    else                                                    101; the first subprotocol that was offered is ours

Extensions are not negotiated. The query and cookies mean nothing.

Source: spec/mpush.md section 2, and ws 7 lib/websocket-server.js.
"""

from appmodel.protocol.http import Request, Response, plain
from comet.protocol.websocket import accept_token

_VERSIONS = frozenset({"13", "8"})


def upgrade(request: Request) -> Response:
    """The answer to a request at any path."""
    headers = request.headers
    if "upgrade" not in headers:
        return Response(
            status=426,
            headers=[("Content-Type", "text/plain"), ("Upgrade", "websocket")],
            body=b"Upgrade Required",
        )
    token = accept_token(headers.get("sec-websocket-key", ""))
    if (
        request.method != "GET"
        or headers["upgrade"].lower() != "websocket"
        or headers.get("sec-websocket-version") not in _VERSIONS
        or token is None
    ):
        response = plain(400, "Bad Request")
        response.close = True
        return response
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", token)]
    offered = headers.get("sec-websocket-protocol", "").split(",")[0].strip()
    if offered:
        answer.append(("Sec-WebSocket-Protocol", offered))
    return Response(status=101, headers=answer)

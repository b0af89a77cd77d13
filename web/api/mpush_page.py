"""What the service worker of Mpush's page says, at the address of the page (8094): a copy by Web Push came.

    POST /mpush/    {"cmd":"MESSAGE_WEBPUSH_CALLBACK","auth":JWT,"data":{"mid":"1557901952810"}}
    200             {"cmd":"INFO","data":"ok"}

The same as on 2246, which a page may not know: behind a proxy it has an address of its own. Other commands are that port's.
"""

from appmodel.core.mpush_commands import WEBPUSH_CALLBACK
from appmodel.protocol.http import Request, Response, Route
from web.api.mpush_frame import MpushFrame


def worker_route(frame: MpushFrame) -> Route:
    """For the listener that has the page. `frame`: that of 2246."""

    async def hear(request: Request) -> Response:
        return await frame.serve_command(request, WEBPUSH_CALLBACK)

    return Route(method="POST", path="/mpush/", handler=hear)

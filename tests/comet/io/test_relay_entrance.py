"""Who a client is, is told by the comet that it reached, and by nobody else."""

import json
import socket

import msgspec
import pytest
import trio

from appmodel.io.wire import Wire
from appmodel.protocol.http import Request, Response, Route, render_plainly
from comet.io.relay_entrance import RelayEntrance
from comet.protocol.relaying import AnswerReader, encode_request


class Mirror:
    """A door that answers who asks."""

    render = staticmethod(render_plainly)

    @property
    def routes(self) -> list[Route]:
        return [Route(method="GET", path="/engine.io/", handler=self.handle)]

    async def handle(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(body=msgspec.json.encode([request.peer, request.secure]))


async def ask(data: bytes) -> Response:
    """What comes back through a tunnel."""
    entrance = RelayEntrance(Mirror())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = Wire(socket.create_connection(listening.getsockname()))
        far = Wire(listening.accept()[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(entrance.run, trio.Event())
        nursery.start_soon(entrance.take, far)
        reader = AnswerReader(1000)
        await near.send_all(data)
        while not reader.is_whole:
            reader.receive_data(await near.receive_some())
        nursery.cancel_scope.cancel()
    near.close()
    far.close()
    assert reader.response is not None
    return reader.response


@pytest.mark.parametrize(("peer", "secure"), [("203.0.113.7", True), ("2001:db8::7", False)])
async def test_a_client_keeps_its_address(peer: str, secure: bool) -> None:
    """Though the connection is that of another comet; what the client says of itself is dropped."""
    lie = {"x-appmsg-client": "1 192.0.2.1", "host": "h"}
    request = Request(method="GET", path="/engine.io/", headers=lie, peer=peer, secure=secure)

    response = await ask(encode_request(request, b""))

    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == [peer, secure]


@pytest.mark.parametrize("said", [b"", b"x-appmsg-client: 1\r\n", b"x-appmsg-client: 2 ::1\r\n"])
async def test_a_comet_that_does_not_say_who_asks_is_refused(said: bytes) -> None:
    """There is nobody to whom the request could be counted."""
    response = await ask(b"GET /engine.io/ HTTP/1.1\r\nHost: h\r\n" + said + b"\r\n")

    assert response.status == 400

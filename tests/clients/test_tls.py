"""The clients on TLS: what they trust, what they tell of the rest, and that they stay on it."""

import shutil
import ssl
import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio
from appmsg_client import Connected, Disconnected, subscribe
from trio.testing import MockClock
from trio_websocket import WebSocketRequest, serve_websocket

from tests.clients.node_client import node_client, why_no_node
from tests.clients.scripted import Comet, Web, open_comet

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: no certificate to test with"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def server_tls(certificate: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    return tls


async def welcome(request: WebSocketRequest) -> None:
    """A comet that accepts everybody and says no more."""
    line = await request.accept()
    await line.send_message("+h\r\n")
    await trio.sleep_forever()


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls(
    certificate: Path, nursery: trio.Nursery, clock: MockClock, trusted: bool
) -> None:
    """A certificate is checked; what is wrong with it is told, not only that it took too long."""
    serve = partial(serve_websocket, welcome, "127.0.0.1", 0, server_tls(certificate))
    server = await nursery.start(serve)
    tls = ssl.create_default_context(cafile=str(certificate) if trusted else None)
    events: list[Connected | Disconnected] = []
    heard = trio.Event()

    def note(event: Connected | Disconnected) -> None:
        events.append(event)
        heard.set()

    url = f"wss://127.0.0.1:{server.port}/sub"
    async with subscribe("u1@user", server=url, tls=tls, on_event=note):
        await heard.wait()
    nursery.cancel_scope.cancel()

    if trusted:
        assert events == [Connected(url, None)]
    else:
        assert "certificate verify failed" in str(events[0])


async def send_to_a_bare_line(secure: Comet, bare: Comet, web: Web) -> None:
    """Tell the client of `secure` to go to `bare`; return when it is back."""
    line = await secure.accept_welcome()
    await line.close(4000, f"moved {bare.url}")
    await secure.accept_welcome()

    assert bare.waiting == 0
    assert web.asked_for("/1/server/get") == 2


async def test_nobody_sends_the_python_client_from_tls_to_a_bare_line(
    certificate: Path, comet: Comet, web: Web
) -> None:
    """Its ticket would go along in the clear: it asks web instead, and without a pause."""
    tls = ssl.create_default_context(cafile=str(certificate))
    events: list[Connected | Disconnected] = []
    async with open_comet(server_tls(certificate)) as secure:
        web.answer_server(secure.url)
        async with subscribe(
            "u1@user", web=web.url, token="t", mid=5, tls=tls, on_event=events.append
        ):
            await send_to_a_bare_line(secure, comet, web)

    assert Disconnected(4000, f"moved {comet.url}", 0.0) in events


@pytest.mark.skipif(bool(why_no_node()), reason=why_no_node() or "node is here")
async def test_nobody_sends_the_javascript_client_from_tls_to_a_bare_line(
    certificate: Path, comet: Comet, web: Web
) -> None:
    """The same, in Node."""
    async with open_comet(server_tls(certificate)) as secure:
        web.answer_server(secure.url)
        async with node_client(
            "u1@user", web=web.url, token="t", mid=5, authority=certificate
        ) as client:
            await send_to_a_bare_line(secure, comet, web)

            moved = await client.state("waiting")
    assert (moved["code"], moved["retryIn"]) == (4000, 0)

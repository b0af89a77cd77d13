"""The client on TLS: it says which certificate it did not trust, and trusts the one it was given."""

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
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificate)
    serve = partial(serve_websocket, welcome, "127.0.0.1", 0, server_tls)
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

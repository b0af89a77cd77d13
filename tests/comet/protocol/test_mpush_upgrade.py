"""How Mpush's port answers: any path, versions 13 and 8, one subprotocol, no extensions."""

import pytest

from appmodel.protocol.http import Request
from comet.protocol.mpush_upgrade import upgrade

HEADERS = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def ask(method: str = "GET", path: str = "/", **headers: str | None) -> Request:
    """A request; None takes a header away."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = {name: value for name, value in {**HEADERS, **named}.items() if value is not None}
    return Request(method=method, path=path, headers=found)


@pytest.mark.parametrize("path", ["/", "/mpush", "/any/path"])
@pytest.mark.parametrize("version", ["13", "8"])
def test_any_path_and_both_versions_become_a_websocket(path: str, version: str) -> None:
    """101 with the key's answer, and nothing that was not asked for."""
    response = upgrade(
        ask(path=path, sec_websocket_version=version, sec_websocket_extensions="x", origin="null")
    )

    assert response.status == 101
    assert response.headers == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ]


def test_the_first_subprotocol_is_ours() -> None:
    """Whatever it is called."""
    response = upgrade(ask(sec_websocket_protocol="b , a"))

    assert ("Sec-WebSocket-Protocol", "b") in response.headers


def test_a_plain_request_is_told_to_upgrade() -> None:
    """426, as the original's library says it."""
    response = upgrade(ask(upgrade=None))

    assert (response.status, response.body) == (426, b"Upgrade Required")
    assert ("Content-Type", "text/plain") in response.headers


@pytest.mark.parametrize(
    "request_",
    [
        ask("POST"),
        ask(upgrade="h2c"),
        ask(sec_websocket_version="12"),
        ask(sec_websocket_version=None),
        ask(sec_websocket_key="short"),
        ask(sec_websocket_key=None),
    ],
)
def test_what_is_no_handshake_is_refused(request_: Request) -> None:
    """400, and the connection is closed."""
    response = upgrade(request_)

    assert response.status == 400
    assert response.close

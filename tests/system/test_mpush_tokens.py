"""Tokens of Mpush on a real node that asks for them: used, and revoked."""

import time
import urllib.request
from collections.abc import Collection, Iterator
from urllib.error import HTTPError

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from appmodel.core.credentials import Credentials
from appmodel.core.mpush_tokens import Right, issue, verify
from tests.node import Node, running_node

SECRET = "a secret of the tests, long enough to sign with"
ALL = "the token of all devices"
PATIENCE = 40.0  # seconds after which a test has failed


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = {
        "APPMSG_AUTH__MODE": "on",
        "APPMSG_AUTH__SECRET": SECRET,
        "APPMSG_MPUSH__TOKEN": ALL,
        "APPMSG_LOG__LEVEL": "debug",
    }
    with running_node(tmp_path_factory.mktemp("tokens"), settings) as node:
        yield node


def issued(*names: str, rights: Collection[Right] = ()) -> str:
    """As `appmsg token issue --mpush` does it."""
    return issue(Credentials(SECRET.encode()), rights, names, now=time.time(), ttl=60)[0]


def ask(node: Node, path: str, token: str = "", *, method: str = "GET") -> str:
    """The word of the answer, or its status."""
    listener = "web.api" if path.startswith("/v2/") else "web.mpush"
    request = urllib.request.Request(node.url(listener) + path, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
            return text.strip()
    except HTTPError as error:
        with error:
            return str(error.code)


def revoke(node: Node, token: str) -> None:
    """As an administrator does it."""
    credentials, now = Credentials(SECRET.encode()), time.time()
    admin = credentials.issue_token({"admin"}, now=now, ttl=60)
    token_id = verify(credentials, token, now=now).id
    assert ask(node, f"/v2/tickets?id={token_id}", admin, method="DELETE") == ""


def say(socket: ClientConnection, text: str) -> str:
    """Send it, and hear what comes."""
    socket.send(text)
    return str(socket.recv(PATIENCE))


def test_a_token_opens_what_it_says_until_it_is_revoked(node: Node) -> None:
    """Without one nobody pushes or reads; a revoked one ends the connection that it let in, within a second or so."""
    own = issued("phone")
    script = issued("pho*", rights=[Right.PUBLISH])
    with connect(node.url("comet.mpush")) as socket:
        assert '"code":403' in say(socket, script)  # it may push, and not log in
        assert '"code":200' in say(socket, own)
        assert '"LOGIN"' in say(socket, "phone")
        assert [
            ask(node, "/phone?title=x"),
            ask(node, "/phone?title=x", own),
            ask(node, "/nobody?title=x", script),
            ask(node, f"/phone/json?poll=1&token={script}"),
            ask(node, f"/phone/json?poll=1&token={own}"),
            ask(node, "/phone/json?poll=1"),
        ] == ["401", "403", "403", "403", "", "401"]

        revoke(node, own)

        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)
    assert ask(node, "/phone?title=kept", script) == "offline"
    assert ask(node, "/phone/json?poll=1", own) == "401"


def test_what_a_revoked_token_opened_ends(node: Node) -> None:
    """Sockets of version 2.2 and streams, without a word to them; those of another token go on."""
    own, other = issued("tablet"), issued("tablet")
    auth = '{"cmd":"AUTH","data":{"token":"%s","name":"tablet"}}'
    with connect(node.url("comet.mpush")) as socket:
        assert '"code":200' in say(socket, auth % own)
        url = node.url("web.mpush") + "/tablet/sse?token="
        with (
            urllib.request.urlopen(url + own, timeout=PATIENCE) as stream,
            urllib.request.urlopen(url + other, timeout=PATIENCE) as goes_on,
        ):
            assert stream.readline() == b":\n"
            revoke(node, own)

            with pytest.raises(ConnectionClosed):
                socket.recv(PATIENCE)
            assert b"data" not in stream.read()  # up to its end
            assert ask(node, "/tablet?title=later", ALL) == "offline"
            while b"later" not in (line := goes_on.readline()):
                assert line, "it ended"


def test_a_device_pushes_and_joins_where_its_token_reaches(node: Node) -> None:
    """In version 2.2: another device, and a group, are others' unless the token names them."""
    token = issued("ann", "team.group", rights=[Right.CONNECT, Right.PUBLISH])
    auth = '{"cmd":"AUTH","data":{"token":"%s","name":"%s","group":"%s"}}'
    send = '{"cmd":"MESSAGE","data":{"sendType":"%s","target":"%s","message":{"text":"x"}}}'
    with connect(node.url("comet.mpush")) as socket:
        for name, group in (("bob", ""), ("ann", "chiefs")):
            assert '"code":403' in say(socket, auth % (token, name, group))
        assert '"code":200' in say(socket, auth % (token, "ann", "team"))

        assert '"INFO"' in say(socket, send % ("personal", "bob"))
        assert '"INFO"' in say(socket, send % ("group", "chiefs"))
        assert '"MESSAGE"' in say(socket, send % ("group", "team"))


def test_no_token_gets_into_the_log(node: Node) -> None:
    """In an address, a header, a first text, or a broken command: right or wrong."""
    own, wrong = issued("desk"), "wrong-but-secret"
    for token in (own, wrong):
        ask(node, f"/desk/json?poll=1&token={token}")
        ask(node, "/desk?title=x", token)
        with connect(node.url("comet.mpush")) as socket:
            say(socket, token)
        with connect(node.url("comet.mpush")) as socket:
            broken = f'{{"cmd":"AUTH","data":{{"name":"desk","token":"{token}"'
            say(socket, broken)
            say(socket, broken + "}}")

    assert not [line for line in node.log if own in line or wrong in line or ALL in line]

"""A company on a real node: two people, their devices, a group; the worked examples of spec/appmsgsrv.md 8.5."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy.orm import Session
from websockets.sync.client import ClientConnection, connect

from appmodel.core.groups import Role
from appmodel.core.user_tokens import TokenSigner
from appmodel.io.engines import make_engine
from appmodel.orm.base import now
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User, UserToken
from tests.databases import limits, make_tables
from tests.node import Node, running_node

SECRET = "a secret of the tests, long enough to sign with"
PATIENCE = 40.0  # seconds for one message
DEVICES = ("A_iOS-d1", "A_Android-d2", "B_Android-d3")


@dataclass
class Company:
    """The node, and who has logged in."""

    node: Node
    tokens: dict[str, str]  # by uid
    sessions: dict[str, ClientConnection]  # by session id
    began: int = 0  # the test began above this message id

    def ask(self, path: str, body: dict[str, Any], *, uid: str, device: str = "") -> Any:
        """A call of the application REST by a user."""
        base = {"uid": uid, "token": self.tokens[uid], "deviceID": device, "deviceType": "iOS"}
        request = urllib.request.Request(
            f"{self.node.url('web.app')}{path}",
            data=json.dumps({"baseRequest": base} | body).encode(),
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def push(self, msg: dict[str, Any], *, uid: str, device: str, **more: Any) -> Any:
        """device/push"""
        path = "/app/client/device/push"
        answer = self.ask(path, {"msg": msg} | more, uid=uid, device=device)
        assert answer["baseResponse"]["ret"] == 0, answer
        return answer

    def heard(self, session: str) -> Any:
        """The next message of a session: {"msg", "mid", "gid"}."""
        while True:
            text = self.sessions[session].recv(timeout=PATIENCE)
            assert isinstance(text, str)
            if not text.startswith("+"):
                return json.loads(text)

    def kept(self, uid: str) -> list[Any]:
        """What is stored for a user."""
        url = f"{self.node.url('web.public')}/1/msg/get?k={uid}@user&m={self.began}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            kept: list[Any] = json.load(answer).get("data", {}).get("msgs", [])
        return kept

    def begin(self) -> None:
        """What was before concerns this test no more."""
        url = f"{self.node.url('web.public')}/1/time/get"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            self.began = json.load(answer)["data"]["timeid"]

    def drain(self, session: str) -> list[Any]:
        """What has come until now."""
        key = f"{session}@user"
        url = f"{self.node.url('web.admin')}/1/admin/push/private?key={key}&expire=0"
        with urllib.request.urlopen(url, data=b'"last"', timeout=PATIENCE):
            pass
        found = []
        while (message := self.heard(session)["msg"]) != "last":
            found.append(message)
        return found


@pytest.fixture
def company(running: Company) -> Company:
    """At rest: everybody has had what other tests have pushed."""
    for session in DEVICES:
        running.drain(session)
    running.begin()
    return running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A with two devices, B with one that is active, and the group G of both."""
    tmp_path = tmp_path_factory.mktemp("company")
    url = f"sqlite:///{tmp_path / 'app.db'}"
    make_tables(url)
    tokens = _found(url)
    settings = {"APPMSG_DATABASE__URL": url, "APPMSG_AUTH__SECRET": SECRET}
    with running_node(tmp_path, settings) as node, ExitStack() as stack:
        company = Company(node, tokens, {})
        for session in DEVICES:
            target = f"{node.url('comet.websocket')}?key={session}@user&heartbeat=60&ver=1"
            company.sessions[session] = stack.enter_context(
                connect(target, compression=None, close_timeout=1)
            )
            assert company.sessions[session].recv(timeout=PATIENCE) == "+h\r\n"
        _activate(company, "B_Android-d3")
        yield company


def _found(url: str) -> dict[str, str]:
    signer, tokens = TokenSigner(SECRET.encode()), {}
    with Session(make_engine(limits(url)).execution_options(writes=True)) as session:
        session.add(Tenant(id="t1", name="Acme"))
        session.add(Qun(id="G", name="Hiking", creator_id="A", tenant_id="t1"))
        for uid, name in (("A", "alice"), ("B", "bob")):
            session.add(User(id=uid, name=name, nickname=name.title(), tenant_id="t1"))
            role = Role.OWNER if uid == "A" else Role.MEMBER
            session.add(QunUser(qun_id="G", user_id=uid, role=role))
            tokens[uid] = signer.issue(uid, now=time.time())
            digest = sha256(tokens[uid].encode()).hexdigest()
            until = now() + timedelta(hours=1)
            session.add(UserToken(digest=digest, user_id=uid, expires=until))
        session.commit()
    return tokens


def _activate(company: Company, session: str) -> None:
    """Sessions are written behind the connection: the first calls may come too early."""
    deadline = time.monotonic() + PATIENCE
    body = {"sessionId": session, "state": "active"}
    while True:
        answer = company.ask("/app/client/device/setSessionState", body, uid=session[0])
        if answer["baseResponse"]["ret"] == 0:
            return
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)  # asking is the only way to know


def test_user_to_user(company: Company) -> None:
    """A writes from d1: B's inbox and session, A's inbox and other device get it, with one id each."""
    msg = {"fromUserName": "A@user", "toUserName": "B@user", "content": "hi", "msgType": 1}

    answer = company.push(msg | {"clientMsgId": 7}, uid="A", device="d1")

    b, a = company.heard("B_Android-d3"), company.heard("A_Android-d2")
    for message, active in ((b, ["B_Android-d3"]), (a, [])):
        assert message["msg"]["fromUserName"] == "A@user"
        assert message["msg"]["toUserName"] == "B@user"
        assert message["msg"]["fromDisplayName"] == "Alice"
        assert message["msg"]["activeSessions"] == active
    assert b["msg"]["toUserKey"] == "B_Android-d3@user"
    assert a["msg"]["toUserKey"] == "A_Android-d2@user"
    assert (answer["msgID"], answer["clientMsgId"], answer["mid"]) == ("msgid", 7, a["mid"])
    assert a["mid"] == b["mid"]
    for uid, message in (("A", a), ("B", b)):
        [kept] = company.kept(uid)
        assert kept["mid"] == message["mid"]
        assert kept["msg"] == message["msg"] | {"toUserKey": f"{uid}@user"}
    assert company.drain("A_iOS-d1") == []


def test_group(company: Company) -> None:
    """B gets the prefix, from the group; A's other device plain text, from A."""
    msg = {"fromUserName": "A@user", "toUserName": "G@qun", "content": "hi", "msgType": 1}

    company.push(msg, uid="A", device="d1")

    b, a = company.heard("B_Android-d3")["msg"], company.heard("A_Android-d2")["msg"]
    assert (b["fromUserName"], b["toUserName"]) == ("G@qun", "B@user")
    assert b["content"] == "A@user|alice|Alice&&hi"
    assert (a["fromUserName"], a["toUserName"], a["content"]) == ("A@user", "G@qun", "hi")
    assert [one["msg"]["content"] for one in company.kept("B")] == [b["content"]]
    assert [one["msg"]["content"] for one in company.kept("A")] == ["hi"]
    assert company.drain("A_iOS-d1") == []


@pytest.mark.parametrize(
    ("sessions", "heard"),
    [
        (["active"], True),
        (["inactive"], False),
        (["B_Android-d3"], True),
        (["B_Android-d3", "B_x-1"], True),
        (["A_Android-d2"], False),
        ([], False),
    ],
)
def test_selectors(company: Company, sessions: list[str], heard: bool) -> None:
    """They narrow what is online; the inbox gets it in every case."""
    msg = {"fromUserName": "A@user", "toUserName": "B@user", "content": "hi", "msgType": 1}

    company.push(msg, uid="A", device="d1", sessions=sessions)

    if heard:
        assert company.heard("B_Android-d3")["msg"]["content"] == "hi"
    assert company.drain("B_Android-d3") == []
    assert len(company.kept("B")) == 1

"""Who gets which copy: the worked examples of spec/appmsgsrv.md 8.5, and the laws behind them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.message import ALL_SESSIONS, Sessions, personal
from appmodel.core.names import Key
from web.core.push_plan import (
    Addressee,
    Plan,
    Recipient,
    plan_from_application,
    plan_notice,
    plan_to_application,
    plan_to_group,
    plan_to_many,
    plan_to_user,
)
from web.core.selectors import EVERYWHERE, KnownSession, parse_sessions
from web.core.targets import Kind, Target, user_key

A = Recipient(
    "A", "alice", "Alice", [KnownSession("A_iOS-d1", "init"), KnownSession("A_Android-d2", "init")]
)
B = Recipient("B", "bob", "Bob", [KnownSession("B_Android-d3", "active")])
MESSAGE = {"fromUserName": "A@user", "toUserName": "B@user", "content": "hi", "msgType": 1}
G = Target(Kind.GROUP, "G")


def bodies(plan: Plan) -> dict[str, dict[str, Any]]:
    """What each inbox gets, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for copy in plan.copies:
        tails = copy.tails or (b"",) * len(copy.keys)
        for key, tail in zip(copy.keys, tails, strict=True):
            assert str(key) not in found, "a key twice"
            found[str(key)] = json.loads(personal(copy.body, tail, key) if tail else copy.body)
    return found


def sessions(plan: Plan) -> dict[str, Sessions | None]:
    """Which sessions of each inbox get a copy."""
    return {str(key): copy.sessions for copy in plan.copies for key in copy.keys}


def test_user_to_user() -> None:
    """A writes from d1: B's keys, then A's without d1; five entries."""
    plan = plan_to_user(MESSAGE, A, Target(Kind.USER, "B"), [B], EVERYWHERE, "d1")

    common = {"fromUserName": "A@user", "toUserName": "B@user", "content": "hi", "msgType": 1}
    common |= {"fromDisplayName": "Alice", "deviceID": "d1"}
    assert bodies(plan) == {
        "B@user": common | {"toUserKey": "B@user", "activeSessions": ["B_Android-d3"]},
        "A@user": common | {"toUserKey": "A@user", "activeSessions": []},
    }
    assert sessions(plan) == {"B@user": ALL_SESSIONS, "A@user": Sessions(None, without="d1")}
    assert plan.size == 5
    assert plan.keys == [user_key("B"), user_key("A")]


def test_group() -> None:
    """Others see the group as the sender, with the prefix; the sender sees names swapped and plain text."""
    message = MESSAGE | {"toUserName": "G@qun"}

    plan = plan_to_group(message, A, G, "Hiking", [A, B], EVERYWHERE, "d1")

    found = bodies(plan)
    assert found["B@user"] == {
        "fromUserName": "G@qun",
        "fromDisplayName": "Hiking",
        "toUserName": "B@user",
        "toDisplayName": "Bob",
        "toUserKey": "B@user",
        "content": "A@user|alice|Alice&&hi",
        "msgType": 1,
        "deviceID": "d1",
        "activeSessions": ["B_Android-d3"],
    }
    assert found["A@user"]["fromUserName"] == "A@user"
    assert found["A@user"]["toUserName"] == "G@qun"
    assert found["A@user"]["content"] == "hi"
    assert sessions(plan)["A@user"] == Sessions(None, without="d1")
    assert plan.size == 5


def test_separators_in_names_do_not_break_the_group_prefix() -> None:
    """The text is what follows the first "&&", the login and the nickname are between two "|"."""
    odd = Recipient("A", "a|b", "x&&y|z")

    plan = plan_to_group(MESSAGE | {"content": "1&&2|3"}, odd, G, "t", [odd, B], EVERYWHERE, "")

    prefix, _, text = bodies(plan)["B@user"]["content"].partition("&&")
    assert text == "1&&2|3"
    assert len(prefix.split("|")) == 3


def test_to_oneself_is_one_copy() -> None:
    """For all devices but the one that wrote."""
    plan = plan_to_user(MESSAGE, A, Target(Kind.USER, "A"), [A], EVERYWHERE, "d1")

    assert list(bodies(plan)) == ["A@user"]
    assert sessions(plan) == {"A@user": Sessions(None, without="d1")}
    assert plan.size == 3


def test_a_department_says_so() -> None:
    """Receivers see what the message was addressed to; the sender gets it once, though a member."""
    target = Target(Kind.ORG, "d3")

    plan = plan_to_many(MESSAGE, A, target, "Sales", [A, B], EVERYWHERE, "d1")

    found = bodies(plan)
    assert set(found) == {"A@user", "B@user"}
    assert found["B@user"]["toUserName"] == "B@user"
    for body in found.values():
        assert (body["addressedTo"], body["addressedToDisplayName"]) == ("d3@org", "Sales")
    assert found["A@user"]["toUserName"] == "d3@org"


def test_an_application_has_one_inbox() -> None:
    """It gets a token to prove the user with; the sender hears nothing of it."""
    plan = plan_to_application(MESSAGE, A, Target(Kind.APP, "app1"), "Shop", "A_tok", "d1")

    found = bodies(plan)
    assert list(found) == ["app1@app"]
    assert found["app1@app"]["token"] == "A_tok"
    assert found["app1@app"]["toUserKey"] == "app1@app"
    assert plan.size == 1


def test_from_an_application() -> None:
    """Each user once; `mlist` has the inbox first, then the chosen sessions."""
    message = {"content": "c", "fromUserName": "p@app", "fromDisplayName": "P"}
    through = Addressee(A, ("d3@org", "Sales"))

    plan = plan_from_application(
        message, [Addressee(B), through], [(Target(Kind.APP, "q"), "Q")], EVERYWHERE
    )

    found = bodies(plan)
    assert set(found) == {"A@user", "B@user", "q@app"}
    assert "addressedTo" not in found["B@user"]
    assert found["A@user"]["addressedTo"] == "d3@org"
    assert found["A@user"]["toDisplayName"] == "Alice"
    assert found["q@app"]["toDisplayName"] == "Q"
    assert [str(key) for _, key in plan.entries] == [
        "B@user",
        "B_Android-d3@user",
        "A@user",
        "A_iOS-d1@user",
        "A_Android-d2@user",
    ]
    assert plan.size == 6


@pytest.mark.parametrize(
    ("values", "ids", "rule"),
    [
        (None, ["A_iOS-d1", "A_Android-d2"], ALL_SESSIONS),
        (["all"], ["A_iOS-d1", "A_Android-d2"], ALL_SESSIONS),
        (["active"], [], None),
        (["inactive"], [], None),
        (["A_iOS-d1"], ["A_iOS-d1"], Sessions(frozenset({"A_iOS-d1"}))),
        (["A_iOS-d1", "x"], ["A_iOS-d1"], Sessions(frozenset({"A_iOS-d1", "x"}))),
        ([], [], None),
    ],
)
def test_selectors(values: list[str] | None, ids: list[str], rule: Sessions | None) -> None:
    """Several ids work; a session in "init" is neither active nor inactive."""
    selector = parse_sessions(values)

    assert [one.id for one in selector.chosen(A.sessions)] == ids
    assert selector.rule(A.sessions) == rule


def test_a_notice() -> None:
    """From the group to each, on all sessions."""
    plan = plan_notice(G, "Hiking", [A, B], "Ann left", 51)

    assert bodies(plan)["B@user"] == {
        "msgType": 51,
        "fromUserName": "G@qun",
        "fromDisplayName": "Hiking",
        "toUserName": "B@user",
        "toUserKey": "B@user",
        "content": "Ann left",
        "activeSessions": ["B_Android-d3"],
    }


members = st.dictionaries(
    st.text(max_size=8), st.one_of(st.text(max_size=5), st.integers(), st.none(), st.booleans())
)


@given(members, st.text(max_size=10), st.text(max_size=10))
def test_nobody_can_write_what_the_server_writes(
    message: dict[str, Any], nickname: str, device: str
) -> None:
    """Whatever a message holds: it is valid JSON, of each member one, and the sender is who proved it."""
    forged = message | {
        "fromUserName": "V@user",
        "token": "x",
        "toUserKey": "V@user",
        "deviceID": "y",
    }
    sender = Recipient("A", "a", nickname)

    for plan in (
        plan_to_user(forged, sender, Target(Kind.USER, "B"), [B], EVERYWHERE, device),
        plan_to_group(forged, sender, G, nickname, [sender, B], EVERYWHERE, device),
    ):
        for name, body in bodies(plan).items():
            assert body["fromUserName"] in {"A@user", "G@qun"}
            assert body["toUserKey"] == name
            assert body["deviceID"] == device
            assert "token" not in body
    for copy in plan.copies:
        pairs = json.loads(personal(copy.body, copy.tails[0], copy.keys[0]), object_pairs_hook=list)
        assert len(pairs) == len(dict(pairs))


def test_keys_of_mlist_are_sessions() -> None:
    """`<session id>@user`."""
    plan = plan_from_application({"content": ""}, [Addressee(B)], [], EVERYWHERE)

    assert plan.entries[1] == (user_key("B"), Key("", "B_Android-d3", "user"))

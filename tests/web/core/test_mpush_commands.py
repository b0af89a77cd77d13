"""Commands of version 2.2, and the words in which it answers."""

from typing import Any

import pytest

from appmodel.core.mpush import Body
from web.core.mpush_commands import (
    Login,
    Message,
    Told,
    login_answer,
    login_refused,
    read_login,
    read_message,
    read_mid,
    unknown,
)
from web.core.mpush_paths import Target
from web.core.mpush_states import Fate, State, info, reply_2


def test_what_a_command_says_is_made_text() -> None:
    """As the original's String() does; extra is kept if it is an object."""
    assert read_login({"token": 5, "name": "a", "group": None}) == Login("5", "a", "")
    data = {"sendType": "group", "target": 7, "message": {"text": 1, "extra": {"k": 2}, "x": 3}}
    assert read_message(data) == Message(Target("7", True), Body("", "1", extra={"k": 2}))
    message = {"desp": "d", "extra": "no", "priority": 5}
    data = {"sendType": "personal", "target": "a", "message": message}
    assert read_message(data) == Message(Target("a"), Body("d", priority=5))
    assert read_mid({"mid": 155}) == "155"


@pytest.mark.parametrize(
    ("read", "data", "text"),
    [
        (read_login, {}, "name property is required"),
        (read_message, {}, "sendType property must 'personal' or 'group'"),
        (read_message, {"sendType": ["group"]}, "sendType property must 'personal' or 'group'"),
        (read_message, {"sendType": "group"}, "target property is required"),
        (read_message, {"sendType": "group", "target": "a"}, "message property is required"),
        (read_mid, {}, "mid property is required"),
    ],
)
def test_what_is_missing_is_told_in_the_original_s_words(read: Any, data: Any, text: str) -> None:
    """Clients show them."""
    with pytest.raises(Told) as told:
        read(data)

    assert str(told.value) == text


def test_a_command_that_nobody_knows_is_named_in_short() -> None:
    """Whatever it is."""
    assert str(unknown("JUMP")) == "Unknow cmd: JUMP"
    assert str(unknown({"a": 1})) == 'Unknow cmd: {"a":1}'
    assert len(str(unknown("x" * 9999))) < 60


def test_answers_byte_for_byte() -> None:
    """11.3 of the reference."""
    fates = {"a": Fate(State.OK, "155"), "b": Fate(State.OFFLINE, "156"), "c": Fate(State.ONLINE)}

    assert reply_2(fates) == (
        b'{"cmd":"MESSAGE_REPLY","data":{"mid":"156","status":{"a":"ok","b":"ready","c":"wait"}}}'
    )
    assert reply_2({"a": Fate(State.NO)}) == (
        b'{"cmd":"MESSAGE_REPLY","data":{"mid":"","status":{"a":"no"}}}'
    )
    assert reply_2({}) == b'{"cmd":"MESSAGE_REPLY","data":{"mid":"","status":{}}}'
    assert info("ok") == b'{"cmd":"INFO","data":"ok"}'
    assert login_refused() == b'{"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}'
    assert login_answer("J", {"fcmProjectId": ""}) == (
        b'{"cmd":"AUTH","data":{"code":200,"auth":"J","msg":"Successful authentication","fcmProjectId":""}}'
    )

"""A client's record as callers see and change it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush import Platform, Refusal
from appmodel.core.lightpush_fields import client_change, client_texts
from appmodel.core.lightpush_records import ClientChange, ClientRecord


def test_only_names_of_fields_are_fields() -> None:
    """Nothing that is part of one, and nothing that the server knows better (W24)."""
    others = {"token": "x", "user": "x", "userId": "eve", "nspName": "/x", "id": "y", "": 1}

    assert client_change(others) is None
    assert client_change({**others, "mobile": "1"}) == ClientChange(mobile="1")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"device_token": ""}, ClientChange(device_token="")),
        ({"device_token": None}, ClientChange(device_token="")),
        ({"mobile": 13800138000}, ClientChange(mobile="13800138000")),
        ({"leaveMessage": False}, ClientChange(leave_message=False)),
        ({"leaveMessage": "false"}, ClientChange(leave_message=False)),
        ({"leaveMessage": "true"}, ClientChange(leave_message=True)),
        ({"longitude": 0, "latitude": 0}, ClientChange(longitude=0.0, latitude=0.0)),
        ({"longitude": "-180", "latitude": "90"}, ClientChange(longitude=-180.0, latitude=90.0)),
    ],
)
def test_what_a_change_means(fields: dict[str, Any], expected: ClientChange) -> None:
    """Texts, numbers, truth values, as clients send them."""
    assert client_change(fields) == expected


def test_a_record_is_shown_as_texts() -> None:
    """Only what is set; a position of 0 is one."""
    record = ClientRecord("/demo", "c", "u1", Platform.IOS, "d1", 1, 2, longitude=0.0, latitude=1.5)

    assert client_texts(record) == {
        "userid": "u1",
        "first_connect_time": "1",
        "last_connect_time": "2",
        "userId": "u1",
        "nspName": "/demo",
        "longitude": "0.0",
        "latitude": "1.5",
    }


@given(
    st.dictionaries(
        st.sampled_from(
            ["device_token", "mobile", "system", "leaveMessage", "longitude", "latitude", ""]
        ),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_no_value_is_too_strange(fields: dict[str, Any]) -> None:
    """It is refused or taken."""
    try:
        change = client_change(fields)
    except Refusal:
        return
    assert change is None or change != ClientChange()

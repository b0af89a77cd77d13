"""What may be pushed, and what becomes of it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_push import PushLimits, check_push, push_event
from appmodel.core.lightpush_records import Draft, Namespace

NOW = 1_793_233_999_000
LIMITS = PushLimits()
DEMO = Namespace("/demo")


def check(namespace: Namespace | None = DEMO, /, **fields: Any) -> Draft:
    """A push that is good but for `fields`; None leaves one out."""
    given = {"room": "r1", "pushData": {"a": 1}} | fields
    return check_push({n.rstrip("_"): v for n, v in given.items()}, namespace, LIMITS, now=NOW)


def test_the_least_of_a_push() -> None:
    """A room and data; it lives for an hour, and nothing else is set."""
    assert check() == Draft("/demo", "r1", '{"a":1}', 1.0, NOW, NOW + 3_600_000)


def test_all_of_a_push() -> None:
    """Every field arrives, numbers as texts; `namespace` is not the caller's to choose."""
    draft = check(
        leaveMessage="false",
        except_="/demo#u1#web-d1",
        expire=0.5,
        apnsName="main",
        extra="lost",
        from_=7,
        namespace="/other",
    )

    assert draft == Draft(
        "/demo",
        "r1",
        '{"a":1}',
        0.5,
        NOW,
        NOW + 1_800_000,
        without="/demo#u1#web-d1",
        apns_name="main",
        leave_message=True,
        extra="lost",
        sender="7",
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"room": None}, "room can not be empty"),
        ({"room": ""}, "room can not be empty"),
        ({"room": 7}, "room invalid"),
        ({"room": ["r1"]}, "room invalid"),
        ({"room": "a room"}, "room invalid"),
        ({"room": "r1\n"}, "room invalid"),
        ({"room": "r" * 101}, "room invalid"),
        ({"room": "räume"}, "room invalid"),
        ({"pushData": None}, "pushData can not be empty and must be an Object"),
        ({"pushData": "text"}, "pushData can not be empty and must be an Object"),
        ({"pushData": ["\ud800"]}, "pushData can not be empty and must be an Object"),
        ({"except_": 7}, "except must be string"),
        ({"except_": ["/demo#u1#web-d1"]}, "except must be string"),
        ({"expire": 10.001}, "expire invalid"),
        ({"expire": 10**400}, "expire invalid"),
        ({"expire": -1}, "expire invalid"),
        ({"expire": 0.0001}, "expire invalid"),
        ({"expire": "2"}, "expire invalid"),
        ({"expire": True}, "expire invalid"),
        ({"expire": float("nan")}, "expire invalid"),
        ({"extra": {}}, "extra must be string"),
        ({"extra": 10**5000}, "extra must be string"),
        ({"from_": "a\0b"}, "from must be string"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], text: str) -> None:
    """Each with the text that callers of the original know."""
    with pytest.raises(Refusal) as refused:
        check(**fields)

    assert str(refused.value) == text


@pytest.mark.parametrize("expire", [None, 0, "", False])
def test_no_expire_is_the_default(expire: object) -> None:
    """As in JavaScript, where all of these are false."""
    assert check(expire=expire).expires_at == NOW + 3_600_000


def test_ten_hours_are_the_most() -> None:
    """The limit itself is allowed."""
    assert check(expire=10).expires_at == NOW + 36_000_000


def test_data_for_apple_is_limited_where_apple_may_get_it() -> None:
    """4000 bytes of UTF-8; without leaveMessage nobody ever sends it."""
    fits, too_much = {"apsData": {"a": "ä" * 1996}}, {"apsData": {"a": "ä" * 1997}}

    check(pushData=fits, leaveMessage=True)
    check(pushData=too_much)
    with pytest.raises(Refusal, match=r"^pushData\.apsData size must be less then 4000 bytes$"):
        check(pushData=too_much, leaveMessage=True)


def test_a_namespace_that_is_gone_or_offline_takes_nothing() -> None:
    """And says which."""
    with pytest.raises(Refusal, match=r"^this namespace lose$"):
        check(None)
    with pytest.raises(Refusal, match=r"^this namespace offline$"):
        check(Namespace("/demo", is_offline=True))


def test_the_event_has_five_fields() -> None:
    """apsData is not among its data, wherever else that word stands."""
    draft = check(pushData={"text": "apsData", "apsData": {"aps": {}}, "deep": {"apsData": 1}})

    event = msgspec.json.decode(push_event(17, draft))

    assert event == [
        "push",
        {
            "id": 17,
            "namespace": "/demo",
            "room": "r1",
            "pushData": {"text": "apsData", "deep": {"apsData": 1}},
            "sendDate": NOW,
        },
    ]


def test_a_list_is_pushed_as_it_is() -> None:
    """pushData may be one."""
    assert b'"pushData":["apsData",1]' in push_event(1, check(pushData=["apsData", 1]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("opening", [[], {}])
def test_push_data_has_64_levels_at_most(opening: Any) -> None:
    """What is put around it, in inboxes and events, must leave it something that can be written."""
    other: list[Any] = [{} for _ in range(100)]  # many, but not deep
    nested = opening
    for level in range(63):
        nested = [nested] if level % 2 else {"x": nested}

    check(pushData=nested)
    check(pushData=other)
    with pytest.raises(Refusal, match=r"^pushData must have at most 64 levels$"):
        check(pushData=[nested])


FIELDS = ["room", "pushData", "except", "expire", "leaveMessage", "apnsName", "extra", "from"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_fields_are_a_push_or_refused(fields: dict[str, Any]) -> None:
    """Nothing that a caller sends raises anything else; and what was taken can be sent."""
    try:
        draft = check_push({"room": "r1", "pushData": {}} | fields, DEMO, LIMITS, now=NOW)
    except Refusal:
        return
    assert msgspec.json.decode(push_event(1, draft))[0] == "push"
    assert NOW < draft.expires_at <= NOW + 36_000_000

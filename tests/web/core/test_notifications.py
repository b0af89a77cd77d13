"""What providers are told of a message."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from web.core.notifications import (
    MAX_APNS,
    MAX_COLLAPSE,
    MAX_FCM,
    MAX_TTL,
    MAX_WEBPUSH,
    ApnsStyle,
    Device,
    Notification,
    apns_payload,
    collapse_id,
    fcm_message,
    seconds_left,
    topic,
    webpush_payload,
)

STYLE = ApnsStyle()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LONG = st.builds(lambda text, times: text * times, TEXT, st.integers(0, 300))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=10,
)
NOTIFICATIONS = st.builds(
    Notification,
    message_id=st.integers(0, 2**53 - 1),
    user_id=st.just("u1"),
    title=LONG,
    text=LONG,
    custom=st.dictionaries(TEXT, JSON | LONG, max_size=4),
    expires_at=st.floats(0, 1e10),
    collapse_id=st.none() | TEXT,
    priority=st.sampled_from([5, 10]),
)
BADGES = st.none() | st.integers(0, 99)


def notification(**fields: Any) -> Notification:
    """Ann says hi to u1."""
    return Notification(
        **{"message_id": 7, "user_id": "u1", "title": "Ann", "text": "hi", **fields}
    )


def test_apns_says_what_the_original_said() -> None:
    """Who says what, the sound and the category of its apps; the badge is a count now."""
    body = json.loads(apns_payload(notification(custom={"room": "r1"}), 3, STYLE))

    assert body == {
        "aps": {
            "alert": "Ann:hi",
            "badge": 3,
            "sound": "bingbong.aiff",
            "category": "Test!",
            "content-available": 1,
        },
        "mid": 7,
        "room": "r1",
    }


def test_custom_fields_replace_nothing_of_ours() -> None:
    """`aps` decides what the phone does, `mid` which message it is: no sender decides that."""
    custom = {"aps": {"alert": "Your bank:pay here"}, "mid": 8, "title": "Eve", "badge": 50}

    apns = json.loads(apns_payload(notification(custom=custom), 3, STYLE))
    browser = json.loads(webpush_payload(notification(custom=custom), 3))
    android = fcm_message(notification(custom=custom), 3, "t", now=0)

    assert (apns["aps"]["alert"], apns["mid"]) == ("Ann:hi", 7)
    assert (browser["title"], browser["mid"], browser["badge"]) == ("Ann", 7, 3)
    assert android["data"]["mid"] == "7"


@given(NOTIFICATIONS, BADGES)
def test_apns_never_gets_more_than_it_takes(notification: Notification, badge: int | None) -> None:
    """Whatever was said: a payload over the limit would not be shown at all."""
    raw = apns_payload(notification, badge, STYLE)

    body = json.loads(raw)
    assert len(raw) <= MAX_APNS
    assert body["mid"] == notification.message_id
    assert body["aps"].get("badge") == badge
    whole = f"{notification.title}:{notification.text}"
    assert whole.startswith(body["aps"]["alert"].removesuffix("...").rstrip())


@given(NOTIFICATIONS, BADGES)
def test_a_browser_never_gets_more_than_it_takes(
    notification: Notification, badge: int | None
) -> None:
    """One record of RFC 8188."""
    raw = webpush_payload(notification, badge)

    assert len(raw) <= MAX_WEBPUSH
    assert json.loads(raw)["mid"] == notification.message_id


@given(NOTIFICATIONS, BADGES)
def test_fcm_never_gets_more_than_it_takes(notification: Notification, badge: int | None) -> None:
    """Notification and data together; all values of data are texts, and none has a name of Google's."""
    message = fcm_message(notification, badge, "t", now=0)

    assert len(msgspec.json.encode([message["notification"], message["data"]])) <= MAX_FCM + 3
    assert all(isinstance(value, str) for value in message["data"].values())
    assert message["data"].keys().isdisjoint({"from", "notification", "message_type"})


def test_a_long_text_is_cut_and_a_short_one_beside_much_else_is_not() -> None:
    """The text fills what there is: only what does not fit is left out."""
    full = json.loads(apns_payload(notification(text="字" * 4000), 3, STYLE))
    crowded = json.loads(apns_payload(notification(custom={"a": "x" * 3800}), 3, STYLE))

    assert full["aps"]["alert"].endswith("字...")
    assert len(full["aps"]["alert"]) > 1300
    assert (crowded["aps"]["alert"], len(crowded["a"])) == ("Ann:hi", 3800)


def test_custom_fields_that_leave_no_room_for_the_text_are_left_out() -> None:
    """A phone that shows nothing but dots helps nobody."""
    for payload in (
        json.loads(apns_payload(notification(custom={"a": "x" * 4090}), 3, STYLE)),
        json.loads(webpush_payload(notification(custom={"a": "x" * 3980}), 3)),
        fcm_message(notification(custom={"a": "x" * 4090}), 3, "t", now=0)["data"],
    ):
        assert "a" not in payload
        assert payload["mid"] in (7, "7")


def test_a_title_leaves_half_to_the_text() -> None:
    """Somebody with a very long name can still be read."""
    body = json.loads(webpush_payload(notification(title="n" * 5000, text="t" * 5000), None))

    assert len(body["title"]) < 2000
    assert len(body["text"]) > 1900


def test_an_unknown_badge_is_left_out() -> None:
    """The app then keeps the number that it shows."""
    assert "badge" not in json.loads(apns_payload(notification(), None, STYLE))["aps"]
    assert "badge" not in json.loads(webpush_payload(notification(), None))
    message = fcm_message(notification(), None, "t", now=0)
    assert "notification_count" not in message["android"]["notification"]


def test_a_style_may_leave_out_sound_and_category() -> None:
    """For apps that have none of the original's."""
    body = json.loads(apns_payload(notification(), 1, ApnsStyle(sound="", category="")))

    assert body["aps"].keys() == {"alert", "badge", "content-available"}


def test_what_fcm_makes_of_it() -> None:
    """Shown by the system, replaced by its repetition, and data for the app."""
    custom = {"n": 1, "deep": {"a": [1]}, "from": "x", "google.a": "x", "gcm.b": "x"}
    found = fcm_message(
        notification(custom=custom, expires_at=1060.5, collapse_id="c", priority=5),
        2,
        "t",
        now=1000,
    )

    assert found == {
        "token": "t",
        "notification": {"title": "Ann", "body": "hi"},
        "data": {"n": "1", "deep": '{"a":[1]}', "mid": "7"},
        "android": {
            "priority": "NORMAL",
            "ttl": "60s",
            "collapse_key": "c",
            "notification": {"tag": "c", "notification_count": 2},
        },
    }


def test_a_notification_lives_as_long_as_its_message() -> None:
    """Now or never without a ttl; never longer than the providers keep anything."""
    assert seconds_left(0.0, now=1000) == 0
    assert seconds_left(999, now=1000) == 0
    assert seconds_left(1010, now=1000) == 10
    assert seconds_left(1e10, now=1000) == MAX_TTL


@given(NOTIFICATIONS)
def test_names_fit_into_headers(notification: Notification) -> None:
    """Whatever the caller calls it: printable, short, and the same for the same."""
    apns, browser = collapse_id(notification), topic(notification)

    assert 0 < len(apns) <= MAX_COLLAPSE
    assert apns.isascii()
    assert apns.isprintable()
    assert len(browser) == 32
    assert set(browser) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_repetition_replaces_the_first_one() -> None:
    """Without a collapse id of the caller's the message id names it; with one, that."""
    assert collapse_id(notification()) == "7"
    assert collapse_id(notification(collapse_id="weather")) == "weather"
    assert topic(notification()) == topic(notification(text="again"))
    assert topic(notification()) != topic(notification(message_id=8))


def test_a_digest_stands_for_the_token() -> None:
    """In logs: enough to tell two devices apart, nothing to send with."""
    device = Device(provider="fcm", token="s3cret", user_id="u", device_id="d", registered_at=0)

    assert len(device.digest) == 8
    assert "s3cret" not in device.digest

"""Namespaces as the light-push REST writes and reads them."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_records import (
    ApnsChange,
    ApnsConfig,
    Hidden,
    Namespace,
    NamespaceChange,
    NamespaceQuery,
)
from appmodel.errors import BadInput
from web.core.lightpush_namespaces import (
    MASK,
    maintained_key,
    namespace_change,
    namespace_fields,
    namespace_key,
    namespace_query,
)
from web.core.lightpush_wire import Asked

PEM = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
DEMO = Namespace(
    "/demo",
    "Shop",
    "https://a.example/in",
    callback_auth=Hidden("token"),
    password_digest=Hidden("1.x"),
    is_offline=True,
    update_date=1793233999000,
)
APNS = ApnsConfig("main", environment="production", topic="a.b", token_key=Hidden(PEM))


def json_of(fields: dict[str, Any]) -> Any:
    """As it goes out."""
    return msgspec.json.decode(msgspec.json.encode(fields))


def any_url(field: str, url: str) -> None:
    """All may be called."""


def no_url(field: str, url: str) -> None:
    """None may."""
    raise BadInput(field, url, "another one")


def changed(**fields: Any) -> NamespaceChange:
    """What a save of these changes."""
    return namespace_change(fields, any_url)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "key is null"),
        ("", "key is null"),
        (1, "namespace invalid"),
        (["/demo"], "namespace invalid"),
        ("demo", "namespace invalid"),
        ("/de mo", "namespace invalid"),
        ("/dé", "namespace invalid"),
        ("/" + "x" * 50, "namespace invalid"),
        ("__proto__", "namespace invalid"),
    ],
)
def test_keys_that_are_none(value: object, text: str) -> None:
    """W6 among them; and without its slash nobody could ever connect."""
    with pytest.raises(Refusal) as refused:
        namespace_key(value)

    assert str(refused.value) == text


def test_maintenance_takes_keys_without_their_slash() -> None:
    """`demo` or `%2Fdemo`."""
    assert [maintained_key(each) for each in ("demo", "/demo", "a/b")] == ["/demo", "/demo", "/a/b"]
    for value, text in ((None, "can not find key"), ("", "can not find key"), (7, "invalid")):
        with pytest.raises(Refusal, match=text):
            maintained_key(value)
    assert namespace_key("/" + "x" * 49) == "/" + "x" * 49


def test_only_what_is_given_changes() -> None:
    """null and "" take away; what is no field of a record is passed over."""
    assert changed(key="/demo", client_ip="1.2.3.4", update_date=1) == NamespaceChange()
    change = changed(
        name="",
        connect_callback=None,
        disconnect_callback="https://a.example/?x=1",
        auth_passwd="a:b",
        offline="on",
    )

    assert change == NamespaceChange(
        name=None,
        connect_callback=None,
        disconnect_callback="https://a.example/?x=1",
        auth_passwd=Hidden("a:b"),
        is_offline=True,
    )
    assert changed(offline="off").is_offline is False
    assert changed(offline="").is_offline is UNSET


def test_elements_of_apns_list_are_changes_of_one_each() -> None:
    """With the fields that are given; `del` takes it away."""
    change = changed(
        apns_list=[
            {"name": "main", "apns_env": "production", "token_key": PEM, "apns_expiration": 3600},
            {"name": "old", "del": True, "other": 1},
            {"name": "odd", "apns_topic": None, "del": False},
        ]
    )

    assert change.apns == [
        ApnsChange(name="main", environment="production", token_key=Hidden(PEM), expiration="3600"),
        ApnsChange(name="old", is_deleted=True),
        ApnsChange(name="odd", topic=None),
    ]
    assert changed(apns_list=[]).apns == []


def test_what_was_read_can_be_saved_again() -> None:
    """A mask in the place of a secret leaves the secret alone."""
    shown = json_of(namespace_fields(DEMO, [APNS], None))

    change = namespace_change(shown, any_url)

    assert shown["auth_passwd"] == shown["callback_auth"] == MASK
    assert shown["apns_list"] == [
        {"name": "main", "apns_env": "production", "apns_topic": "a.b", "token_key": MASK}
    ]
    assert change.auth_passwd is change.callback_auth is change.apns[0].token_key is UNSET
    assert change.name == "Shop"
    assert change.is_offline is True


def test_records_are_answered_as_the_original_does() -> None:
    """Unset is null, the time is a text, and who asks for secrets while moving gets them."""
    bare = namespace_fields(Namespace("/a"), [], None)
    clear = json_of(namespace_fields(DEMO, [APNS], Hidden("s3cret")))

    assert bare == {
        "key": "/a",
        "name": None,
        "connect_callback": None,
        "disconnect_callback": None,
        "auth_passwd": None,
        "apns_list": [],
        "update_date": "0",
        "client_ip": "",
        "callback_auth": None,
        "offline": "off",
    }
    assert (clear["auth_passwd"], clear["callback_auth"]) == ("s3cret", "token")
    assert clear["apns_list"][0]["token_key"] == PEM
    assert (clear["update_date"], clear["offline"]) == ("1793233999000", "on")
    assert namespace_fields(Namespace("/a"), [], "")["auth_passwd"] is None


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": 1}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\0"}, "name"),
        ({"offline": True}, "offline"),
        ({"offline": "yes"}, "offline"),
        ({"auth_passwd": 123456}, "auth_passwd"),
        ({"auth_passwd": "very secret\n"}, "auth_passwd"),
        ({"callback_auth": "very secrét"}, "callback_auth"),
        ({"callback_auth": "very secret\r\nX-Other: 1"}, "callback_auth"),
        ({"connect_callback": 1}, "connect_callback"),
        ({"connect_callback": "very secret" * 100}, "connect_callback"),
        ({"apns_list": "main"}, "apns_list"),
        ({"apns_list": ["main"]}, "apns_list[0]"),
        ({"apns_list": [{}]}, "apns_list[0].name"),
        ({"apns_list": [{"name": "a"}, {"name": ["b"]}]}, "apns_list[1].name"),
        ({"apns_list": [{"name": "a", "apns_topic": 1.5}]}, "apns_list[0].apns_topic"),
        ({"apns_list": [{"name": "a", "token_key": "/etc/very secret"}]}, "apns_list[0].token_key"),
        ({"apns_list": [{"name": "a"}] * 101}, "apns_list"),
    ],
)
def test_values_that_are_none(fields: dict[str, Any], where: str) -> None:
    """The field is named, a secret is not shown; W25: no text that could be a path."""
    with pytest.raises(BadInput) as refused:
        changed(**fields)

    assert str(refused.value).startswith(f"{where}: ")
    assert "very secr" not in str(refused.value)


@pytest.mark.parametrize("field", ["connect_callback", "disconnect_callback"])
def test_callbacks_are_urls(field: str) -> None:
    """W29: nobody is called to find out; an empty one is none."""
    with pytest.raises(BadInput, match=field):
        namespace_change({field: "https://10.0.0.1/"}, no_url)

    assert getattr(namespace_change({field: ""}, no_url), field) is None


def test_lists_are_filtered() -> None:
    """By parts of key and name, and by state."""
    assert namespace_query(Asked("")) == NamespaceQuery()
    assert namespace_query(Asked("key=de&name=Sh&offline=on")) == NamespaceQuery("de", "Sh", True)
    assert namespace_query(Asked("offline=all")) == NamespaceQuery()
    assert namespace_query(Asked("offline=off")).is_offline is False
    for query in ("offline=maybe", "key=%00", "name=" + "x" * 256):
        with pytest.raises(BadInput):
            namespace_query(Asked(query))

"""What Apple gets of a push of light-push, and through which configuration."""

import json

import pytest

from appmodel.core.lightpush_records import ApnsConfig, Draft, Hidden, StoredPush
from web.core.lightpush_apns import (
    Place,
    environment_note,
    letter_of,
    place_of,
    proof_of,
)

NOW = 1_793_234_000_000  # ms
HOUR = 3_600_000
CONFIG = ApnsConfig("main")


def a_push(push_data: str = "{}", apns_name: str | None = None) -> StoredPush:
    """It lives for an hour."""
    return StoredPush(7, Draft("/demo", "r1", push_data, 1.0, NOW, NOW + HOUR, apns_name=apns_name))


@pytest.mark.parametrize(
    ("push_data", "payload"),
    [
        ("{}", {"aps": {"alert": "Hi"}}),
        ('{"a":1}', {"aps": {"alert": "Hi"}}),
        ("[1]", {"aps": {"alert": "Hi"}}),
        ('{"apsData":null}', {"aps": {"alert": "Hi"}}),
        ('{"apsData":[1]}', {"aps": {"alert": "Hi"}}),
        ('{"apsData":{"x":1}}', {"x": 1, "aps": {"alert": "Hi"}}),
        ('{"apsData":{"aps":7}}', {"aps": {"alert": "Hi"}}),
        ('{"apsData":{"aps":{"alert":""}}}', {"aps": {"alert": "Hi"}}),
        ('{"apsData":{"aps":{"alert":"Ho","badge":3}}}', {"aps": {"alert": "Ho", "badge": 3}}),
        ('{"apsData":{"aps":{"alert":{"body":"Ho"}}}}', {"aps": {"alert": {"body": "Ho"}}}),
    ],
)
def test_there_is_always_an_alert(push_data: str, payload: object) -> None:
    """What is given stays as it is."""
    letter = letter_of(a_push(push_data), CONFIG, alert="Hi", now=NOW)

    assert letter.payload == payload


@pytest.mark.parametrize(
    ("configured", "kept"),
    [
        (None, False),
        ("", False),
        ("0", False),
        ("3600", False),  # how long, and no moment
        ("1793233999", False),  # over
        ("1793234000", False),  # this very moment
        ("1793234001", True),
        ("4102444800", True),
        ("1793999999000", False),  # milliseconds
        ("-1", False),
        ("soon", False),
        ("٣", False),
    ],
)
def test_a_constant_expiration_is_repaired(configured: str | None, kept: bool) -> None:
    """Only a moment to come counts; else the end of the push does."""
    config = ApnsConfig("main", expiration=configured)

    until = letter_of(a_push(), config, alert="", now=NOW).expiration

    assert until == (int(configured or 0) if kept else (NOW + HOUR) // 1000)


def test_a_configuration_is_the_namespaces_own_or_the_default_of_the_root() -> None:
    """And the report says which of them is not there, in the words of the original."""
    default, named = place_of(a_push().draft), place_of(a_push(apns_name="main").draft)

    assert (default, default.missing) == (Place("/", "default"), "no default apns")
    assert (named, named.missing) == (Place("/demo", "main"), "apnsName:main not exists")


@pytest.mark.parametrize("environment", ["production", "development", "Production", None])
def test_a_certificate_is_that_of_its_environment(environment: str | None) -> None:
    """Everything but "production" is development."""
    config = ApnsConfig(
        "main",
        environment=environment,
        dev_cert=Hidden("dc"),
        dev_key=Hidden("dk"),
        production_cert=Hidden("pc"),
        production_key=Hidden("pk"),
    )
    is_production = environment == "production"

    proof = proof_of(config)

    assert proof.kind == "certificate"
    assert proof.environment == ("production" if is_production else "sandbox")
    assert proof.content == ("pc\npk" if is_production else "dc\ndk")
    assert environment_note(config) == f"apnsEnv:{'production' if is_production else 'development'}"


def test_a_key_wins_over_certificates() -> None:
    """And is shown to nobody."""
    config = ApnsConfig(
        "main",
        topic="a.b",
        dev_cert=Hidden("dc"),
        token_key=Hidden("secret"),
        token_key_id="K",
        token_team_id="T",
    )

    proof = proof_of(config)

    assert (proof.kind, proof.topic) == ("p8", "a.b")
    assert json.loads(proof.content) == {"key_id": "K", "team_id": "T", "key": "secret"}
    assert "secret" not in repr(proof)


def test_nothing_is_no_proof() -> None:
    """It is for the gateway to say what is wrong."""
    assert proof_of(CONFIG).content == ""

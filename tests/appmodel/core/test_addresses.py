"""Where a request comes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.addresses import Addresses
from appmodel.errors import ConfigError

OURS = ("127.0.0.0/8", "::1", "10.0.0.0/24")


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.9", "203.0.113.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.9, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.9,203.0.113.7, 10.0.0.5", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, nonsense", "127.0.0.1"),
        ("::1", "203.0.113.7", "203.0.113.7"),
        ("::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("2001:db8::1:2:3", "", "2001:db8::/64"),
        ("127.0.0.1", "2001:db8::1:2:3", "2001:db8::/64"),
        ("", "203.0.113.7", ""),
    ],
)
def test_origins(peer: str, forwarded: str, origin: str) -> None:
    """Only proxies of ours are believed, each as far as the next one."""
    assert Addresses(OURS).origin(peer, forwarded) == origin


@given(st.ip_addresses(v=4).map(str), st.text(max_size=50))
def test_strangers_cannot_choose_theirs(peer: str, forwarded: str) -> None:
    """Whatever header comes from somebody who is no proxy of ours."""
    assert Addresses(()).origin(peer, forwarded) == peer


@pytest.mark.parametrize("text", ["", "proxy.example", "10.0.0.1/8"])
def test_a_wrong_network_ends_the_start(text: str) -> None:
    """With the key to set."""
    with pytest.raises(ConfigError, match=r"web\.proxies"):
        Addresses([text])

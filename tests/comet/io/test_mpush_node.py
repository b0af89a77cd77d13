"""Mpush of a comet node: who may come in with which token."""

import pytest

from appmodel.errors import ConfigError
from comet.mpush import require_own_token


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_the_well_known_token_is_good_at_home(host: str) -> None:
    """As in the original, for trying it out."""
    require_own_token("mpush", host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_strangers_do_not_come_in_with_it(host: str) -> None:
    """The node does not start; with a token of its own it does."""
    with pytest.raises(ConfigError, match=r"mpush\.token"):
        require_own_token("mpush", host)

    require_own_token("another one", host)

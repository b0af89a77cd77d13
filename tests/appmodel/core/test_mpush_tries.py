"""How often a token of Mpush may be guessed."""

import pytest

from appmodel.core.credentials import Credentials
from appmodel.core.message import Revocation
from appmodel.core.mpush_tokens import EVERYTHING, MpushGate, Right, issue
from appmodel.core.mpush_tries import TokenTries
from appmodel.core.revocations import Revocations, token_subject
from appmodel.core.throttle import Throttle
from appmodel.errors import LimitReached, Unauthorized

ALL = "the token of all"
NOW = 1_000_000.0


class Place:
    """Three wrong tokens a minute, at one listener."""

    def __init__(self, *, remembered: int = 10) -> None:
        self.known = Revocations()
        self.credentials = Credentials(b"s" * 32)
        gate = MpushGate(ALL, self.credentials, self.known, now=lambda: NOW)
        self.tries = TokenTries(gate, Throttle(3, 60, capacity=100), remembered=remembered)

    def guess(self, address: str, *, times: int, now: float = 0) -> int:
        """How many wrong tokens are weighed."""
        weighed = 0
        for number in range(times):
            try:
                self.tries.grant(f"wrong {number}", address, now)
            except Unauthorized:
                weighed += 1
            except LimitReached:
                pass
        return weighed


def test_so_many_wrong_ones_then_at_a_pace() -> None:
    """Each address for itself; above it nothing is weighed, not even what is right."""
    place = Place()

    assert place.guess("a", times=50) == 3
    assert place.tries.pause(ALL, "a", 0) == 20
    with pytest.raises(LimitReached):
        place.tries.grant(ALL, "a", 0)
    assert place.guess("b", times=50) == 3
    assert place.guess("a", times=50, now=20) == 1
    assert (place.tries.wrong, place.tries.slowed) == (7, 47 + 2 + 47 + 49)


def test_who_was_right_before_need_not_wait() -> None:
    """From that address, by that token: whatever its neighbours try."""
    place = Place()
    assert place.tries.grant(ALL, "a", 0) is EVERYTHING

    place.guess("a", times=50)
    place.guess("b", times=50)

    assert place.tries.pause(ALL, "a", 0) == 0
    assert place.tries.grant(ALL, "a", 0) is EVERYTHING
    with pytest.raises(LimitReached):
        place.tries.grant(ALL, "b", 0)


def test_right_ones_and_none_at_all_do_not_count() -> None:
    """However many there are: they are no guesses."""
    place = Place()

    for number in range(20):
        with pytest.raises(Unauthorized, match="there is none"):
            place.tries.grant("", "a", 0)
        own, _ = issue(place.credentials, [Right.READ], [f"d{number}"], now=NOW, ttl=60)
        place.tries.grant(own, "a", 0)

    assert place.tries.pause("anything", "a", 0) == 0
    assert place.guess("a", times=50) == 3


def test_a_token_that_is_revoked_waits_as_any_other() -> None:
    """It was right once, and is wrong now."""
    place = Place()
    own, grant = issue(place.credentials, [Right.READ], ["phone"], now=NOW, ttl=60)
    place.tries.grant(own, "a", 0)

    place.known.add(Revocation(1, token_subject(grant.id), NOW + 1, NOW + 60))

    for _ in range(4):
        with pytest.raises(Unauthorized, match="revoked"):
            place.tries.grant(own, "a", 0)
    with pytest.raises(LimitReached):
        place.tries.grant(own, "a", 0)


def test_memory_is_bounded() -> None:
    """Of too many that were right the first are forgotten: they are weighed once more."""
    place = Place(remembered=1)
    other, _ = issue(place.credentials, [Right.READ], ["phone"], now=NOW, ttl=60)

    place.tries.grant(ALL, "a", 0)
    place.tries.grant(other, "a", 0)
    place.guess("a", times=50)

    assert (place.tries.pause(other, "a", 0), place.tries.pause(ALL, "a", 0)) == (0, 20)


def test_lone_surrogates_are_no_bug() -> None:
    """A token is any text."""
    with pytest.raises(Unauthorized):
        Place().tries.grant("\ud800", "a", 0)

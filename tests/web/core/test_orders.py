"""What the caller of a push hears."""

import pytest

from appmodel.core.message import Delivery, Push
from appmodel.core.names import Key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from web.core.orders import Outcome

A, B, C = (Key("", name, "user") for name in "abc")
PUSH = Push(b"p" * 16, (A, B, C), b"{}")


@pytest.mark.parametrize("doubtful", [A, B, C])
def test_a_doubt_about_any_key_outweighs_refusals(doubtful: Key) -> None:
    """ "Nothing happened" must be true of every key."""
    doubt = OutcomeUnknown("no answer")
    failed: dict[Key, PushError] = dict.fromkeys(PUSH.keys, NotStored("disk full"))

    outcome = Outcome(PUSH, {}, failed | {doubtful: doubt})

    assert outcome.error is doubt
    with pytest.raises(OutcomeUnknown):
        outcome.check()


def test_without_a_doubt_the_first_refusal_is_told() -> None:
    """The keys say why one by one; the call as a whole says one of it."""
    errors = [Unavailable("one"), NotStored("two")]

    assert Outcome(PUSH, {}, dict(zip((A, B), errors, strict=True))).error is errors[0]


def test_what_reached_a_key_is_no_error() -> None:
    """Its answer tells of the others."""
    outcome = Outcome(PUSH, {}, {B: OutcomeUnknown("no answer")})
    outcome.add([A], Delivery((1,), (0,), True))

    assert outcome.error is None
    outcome.check()

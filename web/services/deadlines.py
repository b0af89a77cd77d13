"""Time limits of what this node asks of others."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from appmodel.errors import OutcomeUnknown


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Cancel the block after `seconds`.

    Raises:
        OutcomeUnknown: it was cancelled.
    """
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise OutcomeUnknown(f"no answer within {seconds:g} s") from None

"""Who waits hears what comes, what came lately, and nothing of another device; all of it bounded."""

from appmodel.core.mpush import device_key
from appmodel.core.mpush_waits import Awaited
from comet.core.mpush_waiting import Waiter, Waiting


def one(message_id: int, name: str = "test") -> Awaited:
    return Awaited(device_key(name), message_id)


def waiter(*awaited: Awaited) -> tuple[Waiter, list[None]]:
    """And where it notes that it has heard all."""
    done: list[None] = []
    return Waiter(awaited, lambda: done.append(None)), done


def test_it_is_done_when_all_have_come() -> None:
    """In any order, each once or more often; others of the same id do not count."""
    waiting = Waiting(memory=10, limit=100)
    ours, done = waiter(one(1), one(2))
    assert waiting.begin(ours, 0)

    waiting.hear([one(2), one(1, "other"), one(2)], 1)
    assert (ours.answer, done) == ((False, True), [])
    waiting.hear([one(1)], 2)

    assert (ours.answer, done, len(waiting)) == ((True, True), [None], 0)


def test_what_came_lately_counts() -> None:
    """For as long as it is remembered."""
    waiting = Waiting(memory=10, limit=100)
    waiting.hear([one(1)], 0)

    early, late = waiter(one(1))[0], waiter(one(1))[0]

    assert not waiting.begin(early, 9.9)
    assert waiting.begin(late, 10)
    assert (early.answer, late.answer) == ((True,), (False,))


def test_several_may_wait_for_one() -> None:
    """Who ends hears no more, and nothing of it is left."""
    waiting = Waiting(memory=10, limit=100)
    first, second = waiter(one(1), one(2)), waiter(one(1))
    assert waiting.begin(first[0], 0)
    assert waiting.begin(second[0], 0)

    waiting.end(first[0])
    waiting.hear([one(1)], 1)

    assert (first[0].answer, second[0].answer) == ((False, False), (True,))
    assert len(waiting) == 0


def test_one_too_many_is_not_kept_waiting() -> None:
    """And of too much that is remembered the oldest goes."""
    waiting = Waiting(memory=10, limit=2)
    waiting.hear([one(1), one(2), one(3)], 0)
    assert waiting.begin(waiter(one(1), one(9))[0], 0)

    assert not waiting.begin(waiter(one(8))[0], 0)
    assert not waiting.begin(waiter(one(2), one(3))[0], 0)

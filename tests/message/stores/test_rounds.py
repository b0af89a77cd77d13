"""Work done a round at a time."""

import threading
from collections.abc import Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from appmodel.errors import NotStored
from message.stores.rounds import Job, Rounds


class Worker:
    """Doubles numbers, when it is let; notes its rounds."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.may_go_on = threading.Event()

    def work(self, jobs: Sequence[Job[int]]) -> None:
        self.rounds.append([job.request for job in jobs])
        assert self.may_go_on.wait(10)
        for job in jobs:
            if job.request < 0:
                job.fail(ValueError(f"{job.request} is negative"))
            else:
                job.succeed(job.request * 2)


def open_rounds(worker: Worker, *, queue: int = 100, round_: int = 100) -> Rounds[int]:
    """Rounds of that worker."""
    return Rounds(
        [worker.work], name="test", queue_limit=queue, round_limit=round_, refusal=NotStored
    )


async def test_what_arrives_during_a_round_is_the_next_round(nursery: trio.Nursery) -> None:
    """One hop for all who came in the meantime, in their order."""
    worker = Worker()
    rounds = open_rounds(worker)
    nursery.start_soon(rounds.run)
    answers: dict[int, int] = {}

    async def ask(number: int) -> None:
        answers[number] = await rounds.ask(number)

    async with trio.open_nursery() as asking:
        for number in range(6):
            asking.start_soon(ask, number)
            await wait_all_tasks_blocked()
        worker.may_go_on.set()
    rounds.close()

    assert worker.rounds == [[0], [1, 2, 3, 4, 5]]
    assert answers == {number: number * 2 for number in range(6)}


async def test_the_next_round_does_not_wait_for_the_last(nursery: trio.Nursery) -> None:
    """If there is another thread; when both are busy, what arrives is one round of the first free."""
    workers = [Worker(), Worker()]
    rounds = Rounds([w.work for w in workers], name="test", queue_limit=100, round_limit=100)
    nursery.start_soon(rounds.run)
    await wait_all_tasks_blocked()
    answers: dict[int, int] = {}

    async def ask(number: int) -> None:
        answers[number] = await rounds.ask(number)

    async with trio.open_nursery() as asking:
        for number in range(5):
            asking.start_soon(ask, number)
            await wait_all_tasks_blocked()
        for worker in workers:
            worker.may_go_on.set()
    rounds.close()

    assert sorted(worker.rounds[0] for worker in workers) == [[0], [1]]
    assert [round_ for worker in workers for round_ in worker.rounds[1:]] == [[2, 3, 4]]
    assert answers == {number: number * 2 for number in range(5)}


async def test_a_round_is_bounded(nursery: trio.Nursery) -> None:
    """By weight; a request that is heavier than a round goes alone."""
    worker = Worker()
    rounds = open_rounds(worker, round_=10)
    nursery.start_soon(rounds.run)

    for number, weight in enumerate([1, 4, 6, 1, 50, 2]):
        nursery.start_soon(rounds.ask, number, weight)
        await wait_all_tasks_blocked()
    worker.may_go_on.set()
    await rounds.ask(6)
    rounds.close()

    assert worker.rounds[:4] == [[0], [1, 2], [3], [4]]


async def test_a_full_queue_refuses_at_once(nursery: trio.Nursery) -> None:
    """Nobody waits for a place; what was waiting is done."""
    worker = Worker()
    rounds = open_rounds(worker, queue=10)
    nursery.start_soon(rounds.run)
    async with trio.open_nursery() as asking:
        asking.start_soon(rounds.ask, 1, 10)
        await wait_all_tasks_blocked()  # in the thread, it waits no more
        asking.start_soon(rounds.ask, 2, 10)
        await wait_all_tasks_blocked()

        with pytest.raises(NotStored, match="1 calls wait"):
            await rounds.ask(3, 1)
        worker.may_go_on.set()

    assert await rounds.ask(4, 1) == 8
    rounds.close()
    assert worker.rounds[:2] == [[1], [2]]


async def test_an_error_is_its_callers(nursery: trio.Nursery) -> None:
    """The others of the round have their answers."""
    worker = Worker()
    worker.may_go_on.set()
    rounds = open_rounds(worker)
    nursery.start_soon(rounds.run)

    with pytest.raises(ValueError, match="-1 is negative"):
        await rounds.ask(-1)

    assert await rounds.ask(1) == 2
    rounds.close()


async def test_who_gives_up_costs_the_others_nothing(nursery: trio.Nursery) -> None:
    """A cancelled request is done all the same, and its round goes on."""
    worker = Worker()
    rounds = open_rounds(worker)
    nursery.start_soon(rounds.run)

    async with trio.open_nursery() as impatient:
        impatient.start_soon(rounds.ask, 1)
        impatient.start_soon(rounds.ask, 2)
        await wait_all_tasks_blocked()
        impatient.cancel_scope.cancel()
    worker.may_go_on.set()

    assert await rounds.ask(3) == 6
    rounds.close()
    assert sorted(number for round_ in worker.rounds for number in round_) == [1, 2, 3]


async def test_closing_finishes_what_waits(nursery: trio.Nursery) -> None:
    """Then nothing more is taken."""
    worker = Worker()
    rounds = open_rounds(worker)
    nursery.start_soon(rounds.run)
    answers: list[int] = []

    async def ask(number: int) -> None:
        answers.append(await rounds.ask(number))

    async with trio.open_nursery() as asking:
        for number in range(4):
            asking.start_soon(ask, number)
        await wait_all_tasks_blocked()
        rounds.close()
        with pytest.raises(NotStored, match="closing"):
            await rounds.ask(9)
        worker.may_go_on.set()

    assert sorted(answers) == [0, 2, 4, 6]


async def test_cancelling_ends_after_the_round_and_tells_those_who_wait() -> None:
    """What the thread has begun is answered; what it has not is refused, so it is nowhere."""
    worker = Worker()
    rounds = open_rounds(worker)
    told: dict[int, object] = {}

    async def ask(number: int) -> None:
        try:
            told[number] = await rounds.ask(number)
        except NotStored as error:
            told[number] = str(error)

    async with trio.open_nursery() as asking, trio.open_nursery() as running:
        running.start_soon(rounds.run)
        for number in (1, 2):
            asking.start_soon(ask, number)
            await wait_all_tasks_blocked()
        running.cancel_scope.cancel()
        worker.may_go_on.set()

    assert told == {1: 2, 2: "test: closing"}

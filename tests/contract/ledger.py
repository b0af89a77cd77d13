"""What every ledger keeps to. A subclass only says how to open one."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from appmodel.core.interfaces import Ledger
from tests.contract.saves import START, Time


class LedgerContract:
    """The suite."""

    def open_ledger(self, now: Callable[[], float]) -> AbstractAsyncContextManager[Ledger]:
        """A new and empty ledger; `now` is its clock."""
        raise NotImplementedError

    @pytest.fixture
    def time(self) -> Time:
        """The ledger's clock."""
        return Time()

    @pytest.fixture
    async def ledger(self, time: Time) -> Any:
        """An empty ledger."""
        async with self.open_ledger(time) as ledger:
            yield ledger

    async def test_the_first_value_stays(self, ledger: Ledger) -> None:
        """Whoever remembers second is told what the first one said."""
        first = await ledger.remember(b"name", b"one", kept_until=START + 60)
        second = await ledger.remember(b"name", b"two", kept_until=START + 90)
        other = await ledger.remember(b"other", b"two", kept_until=START + 60)

        assert (first, second, other) == (b"one", b"one", b"two")
        assert await ledger.recall(b"name") == b"one"
        assert await ledger.recall(b"nothing") is None

    async def test_values_are_kept_until_their_time(self, ledger: Ledger, time: Time) -> None:
        """Then the name is free again."""
        await ledger.remember(b"name", b"one", kept_until=START + 60)
        time.now = START + 60

        assert await ledger.recall(b"name") is None
        assert await ledger.remember(b"name", b"two", kept_until=START + 90) == b"two"
        assert await ledger.recall(b"name") == b"two"

    async def test_those_who_race_agree(self, ledger: Ledger) -> None:
        """All who remember a name at once get the same value."""
        told: list[bytes] = []

        async def remember(value: bytes) -> None:
            told.append(await ledger.remember(b"name", value, kept_until=START + 60))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(remember, b"%d" % number)

        assert len(told) == 20
        assert set(told) == {await ledger.recall(b"name")}

    async def test_revocations_come_in_order(self, ledger: Ledger) -> None:
        """Each has a higher position than those before; asked from one, only newer ones come."""
        for number, subject in enumerate(["key:a@user", "token:1", "key:a@user"]):
            await ledger.revoke(subject, issued_before=START + number, kept_until=START + 60)

        found = await ledger.revocations(0)

        assert [r.subject for r in found] == ["key:a@user", "token:1", "key:a@user"]
        assert [r.issued_before for r in found] == [START, START + 1, START + 2]
        positions = [r.position for r in found]
        assert positions == sorted(set(positions))
        assert positions[0] > 0
        assert await ledger.revocations(positions[1]) == found[2:]
        assert await ledger.revocations(positions[2]) == []

    async def test_revocations_end_with_their_credentials(self, ledger: Ledger, time: Time) -> None:
        """What has expired by itself need not be revoked."""
        await ledger.revoke("token:1", issued_before=START, kept_until=START + 60)
        await ledger.revoke("token:2", issued_before=START, kept_until=START + 90)
        time.now = START + 60

        assert [r.subject for r in await ledger.revocations(0)] == ["token:2"]

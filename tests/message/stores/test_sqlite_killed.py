"""SIGKILL in the middle of a storm of saves."""

import random
import subprocess
import sys
from pathlib import Path

from appmodel.core.message import Saved
from message.stores.sqlite import open_sqlite
from tests.message.stores.opening import config, query
from tests.message.stores.storm import KEYS, storm_push

ROUNDS = 5
ROOT = Path(__file__).parents[3]


async def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """The store opens again, has every acknowledged message once, and its chain is whole."""
    path = tmp_path / "messages.db"
    acknowledged: dict[int, Saved] = {}

    for seed in range(1, ROUNDS + 1):
        acks = random.Random(seed).randrange(50, 500)
        sys.stdout.write(f"seed {seed}: killed after {acks} acknowledgements\n")
        acknowledged |= kill_a_storm(path, seed, acks)

    everything = config(path, depth=10**6, page_limit=2**30)
    async with open_sqlite(everything) as store:
        for number, saved in acknowledged.items():
            assert await store.save([storm_push(number)]) == [saved]
        found = {key: (await store.fetch(key, 0, limit=10**6)).messages for key in KEYS}
        marks = await store.marks(KEYS)
    for (key, messages), mark in zip(found.items(), marks, strict=True):
        numbers = {int(message.body): message.id for message in messages}
        assert len(numbers) == len(messages)  # each push once
        assert [m.id for m in messages] == sorted(numbers.values())
        assert mark == messages[-1].id
        for number, saved in acknowledged.items():
            if key in (keys := storm_push(number).keys):
                assert numbers[number] == saved.ids[keys.index(key)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, BROKEN_LINKS) == []


BROKEN_LINKS = """
    SELECT mid, prev, before FROM (
        SELECT mid, prev, lag(mid, 1, 0) OVER (PARTITION BY key_id ORDER BY mid) AS before
        FROM receipt
    ) WHERE prev != before"""


def kill_a_storm(path: Path, seed: int, acks: int) -> dict[int, Saved]:
    """Start a storm, kill it after so many acknowledgements; all that it wrote, by push number."""
    command = [sys.executable, "-m", "tests.message.stores.storm", str(path), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(acks)]
        finally:
            process.kill()
        lines += process.stdout.readlines()
    acknowledged = {}
    for line in lines:
        if line.endswith(b"\n"):  # the last may be cut
            number, *pairs = map(int, line.split())
            acknowledged[number] = Saved(tuple(pairs[::2]), tuple(pairs[1::2]))
    assert len(acknowledged) >= acks
    return acknowledged

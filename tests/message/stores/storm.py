"""A process that saves as fast as it can, and says what was acknowledged: to be killed.

python -m tests.message.stores.storm FILE SEED      -> "<push number> <id> <prev> <id> <prev>" a line
"""

import random
import sys
import time
from pathlib import Path

import trio

from appmodel.core.message import Save
from appmodel.core.names import Key
from message.stores.sqlite import SqliteStore, open_sqlite
from tests.message.stores.opening import config

KEYS = [Key("", f"u{number}", "user") for number in range(5)]


def storm_push(number: int) -> Save:
    """Push `number` of a storm: two keys, a body that says which it is."""
    chosen = random.Random(number)
    keys = tuple(chosen.sample(KEYS, 2))
    body = b"%d%s" % (number, b" " * chosen.randrange(3000))
    proposed = int(time.time() * 1e6) - chosen.randrange(1000)  # owners' clocks differ
    return Save(number.to_bytes(16, "big"), proposed, keys, body, time.time() + 3600)


async def storm(path: Path, seed: int) -> None:
    """Save until killed."""
    async with open_sqlite(config(path, depth=10**6)) as store, trio.open_nursery() as nursery:
        for owner in range(8):
            nursery.start_soon(_save_on, store, seed * 10**9 + owner * 10**6)


async def _save_on(store: SqliteStore, number: int) -> None:
    while True:
        number += 1
        [saved] = await store.save([storm_push(number)])
        pairs = zip(saved.ids, saved.prevs, strict=True)
        line = " ".join([str(number), *(f"{mid} {prev}" for mid, prev in pairs)])
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(storm, Path(sys.argv[1]), int(sys.argv[2]))

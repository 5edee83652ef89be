"""Child of `test_store_rocks.py`: applies batches, one a ms by their clock, until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.core.state import Timer
from orchestrator.store.base import Batch
from orchestrator.store.rocks import RocksStores, StoreSettings

SAGAS = [f"saga-{index}" for index in range(1_000)]


def main() -> None:
    settings = StoreSettings(
        cache_bytes=1 << 20, write_buffer_bytes=1 << 18, write_behind_ms=int(sys.argv[2])
    )
    store = RocksStores(Path(sys.argv[1]), settings).open(1)
    number = store.position()
    while True:
        number += 1
        value = b"%d" % number
        store.apply(
            Batch(
                position=number,
                synced_at_ms=number,
                cursor=value,
                puts=dict.fromkeys(SAGAS, value),
                timers_added=(Timer(number, SAGAS[0], 0),),
                timers_removed=(Timer(number - 1, SAGAS[0], 0),),
            )
        )
        # Not after every batch, or the reader would always be woken, and kill, between two.
        if number % 4 == 0:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

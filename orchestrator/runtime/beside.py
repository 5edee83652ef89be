"""Wiring of what runs beside or before a worker: its standby process, and warming up."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from orchestrator import collector
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import ConfigurationError
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.changelog import ChangelogTail
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import Log, get
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.copies import Copies
from orchestrator.runtime.disk import DiskWatch
from orchestrator.runtime.heir import Heir, NoHeir, StandbyProcess
from orchestrator.runtime.orders import Lines, answer_line
from orchestrator.runtime.restore import Shelf
from orchestrator.runtime.settings import StandbySettings, WorkerSettings
from orchestrator.runtime.standby import Standby
from orchestrator.runtime.stores import STANDBY_LOCK, RocksStores
from orchestrator.runtime.warm_up import awaited_shards, warm_up
from orchestrator.store.rocks import StoreSettings
from orchestrator.topics import Topics

_PR_SET_PDEATHSIG = 1
_CACHE_BYTES_MAX = 16 * 1024 * 1024
_BUFFERS_BYTES_MAX = 64 * 1024 * 1024
"""A standby writes and hardly reads: it needs less memory than its worker."""
_FIRST_TO_STOP = 2
"""How many times the worker's watermark must be free on the disk: copies give way to the worker."""


def standby_group(instance_id: str) -> str:
    """The group that shows how far an instance's standby is. Nobody is ever a member of it."""
    return f"{instance_id}.standby"


class Home(NamedTuple):
    """Where the copies of one instance come from, and where they lie."""

    settings: WorkerSettings
    kafka: KafkaSettings
    admin: KafkaAdmin
    changelog: str
    """Name of the topic."""
    local: RocksStores
    codec: RecordCodec
    log: Log


@contextmanager
def following(home: Home) -> Iterator[Copies]:
    """Copies of shards, all let go in the end."""
    instance, clock = home.settings.instance_id, SystemClock()
    copies = Copies(
        changelog=home.changelog,
        shelf=Shelf(
            stores=home.local,
            settings=home.settings,
            codec=home.codec,
            clock=clock,
            counters=Counters(),
            log=home.log,
        ),
        tail=ChangelogTail(home.kafka, f"{instance}-standby", standby_group(instance)),
        cluster=home.admin,
        disk=DiskWatch(home.settings.data_dir, _FIRST_TO_STOP * home.settings.disk_free_bytes_min),
        clock=clock,
        log=home.log,
    )
    try:
        yield copies
    finally:
        copies.close()


def warm_up_if_new(
    home: Home, standby: StandbySettings, partitions: int, stop: Callable[[], bool]
) -> None:
    """Warm up what this worker will get, if others own it now."""
    if not standby.warm_up_ms:
        return
    members = home.admin.members(home.settings.group)
    instances = [member.instance_id for member in members if member.instance_id]
    shards = awaited_shards(home.settings.instance_id, partitions, instances)
    if shards:
        with following(home) as copies:
            warm_up(
                shards,
                copies=copies,
                settings=standby,
                clock=SystemClock(),
                stop=stop,
                log=home.log,
            )


def heir_of(standby: StandbySettings, command: Sequence[str], partitions: int, log: Log) -> Heir:
    """What looks after a worker's standby, if it is to have one."""
    if not standby.standbys or not command:
        return NoHeir()
    return StandbyProcess(
        command,
        partitions=partitions,
        release_timeout_ms=standby.release_timeout_ms,
        clock=SystemClock(),
        log=log,
    )


def run_standby(
    settings: WorkerSettings,
    standby: StandbySettings,
    kafka: KafkaSettings,
    stop: Callable[[], bool],
    *,
    stores: StoreSettings,
    topics: Topics,
    codec: RecordCodec,
) -> None:
    """Be the standby of the worker that started this process, which speaks on stdin.

    Raises ConfigurationError and StateError: the worker starts another, after a while.
    """
    die_with_parent()
    log = get(standby=settings.instance_id)
    local = RocksStores(settings.data_dir / settings.instance_id, small(stores), STANDBY_LOCK)
    admin = KafkaAdmin(kafka)
    partitions = admin.partitions([topics.changelog]).get(topics.changelog)
    if partitions is None:
        raise ConfigurationError(f"no such topic: {topics.changelog}")
    collector.spare()
    with following(Home(settings, kafka, admin, topics.changelog, local, codec, log)) as copies:
        Standby(
            instance_id=settings.instance_id,
            partitions=partitions,
            settings=standby,
            members=lambda: admin.members(settings.group),
            copies=copies,
            orders=Lines(sys.stdin.fileno()),
            answer=_answer,
            clock=SystemClock(),
            log=log,
        ).run(stop)
    local.close()


def small(stores: StoreSettings) -> StoreSettings:
    """The same stores with as little memory as a standby needs."""
    return replace(
        stores,
        cache_bytes=min(stores.cache_bytes, _CACHE_BYTES_MAX),
        write_buffers_bytes=min(stores.write_buffers_bytes, _BUFFERS_BYTES_MAX),
    )


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the worker is gone, however that happens (Linux only).

    Strictly, when the thread is gone that started us: the worker's main one. Elsewhere, and until
    this call, the end of stdin says the same; who is stopped and reads nothing gets a SIGHUP, as
    the rest of a group that is orphaned.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(number: int) -> None:
    with suppress(BrokenPipeError):  # the worker is gone, as stdin will tell
        os.write(sys.stdout.fileno(), answer_line(number))

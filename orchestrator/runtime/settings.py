"""Every number of the worker, with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.ids import is_id
from orchestrator.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker runs. Kafka's own settings are in `KafkaSettings`."""

    group: str = "saga"
    """Consumer group of all workers of one installation. Default `saga`, as the topics' prefix."""
    ordinal: int = field(default=0, metadata={"min": 0, "max": 999})
    """Number of this worker, from 0. No two running workers share one: it is their identity."""
    data_dir: Path = Path("saga-state")
    """Where the local stores lie, one directory a worker. Losing it costs a restore, no data."""
    batch_count_max: int = field(default=10_000, metadata={"min": 1, "max": 100_000})
    """Inputs a transaction. Default 10,000: only while a commit takes a second do so many come together;
    at 10 ms they are 250 to 500. At most 300 loses a quarter of the rate there, 100 half."""
    batch_bytes_max: int = field(default=4_194_304, metadata={"min": 10_000, "max": 67_108_864})
    """Bytes after which a transaction takes no further inputs, at most. Default 4 MiB: it begins with
    512 KiB, and carries more only while each step of a commit takes a tenth to half of
    the time after which it would be in doubt: so round trips are long, and there is time to spare."""
    timers_count_max: int = field(default=200, metadata={"min": 1, "max": 10_000})
    """Due timers a shard and transaction: a burst must leave room for new inputs."""
    poll_timeout_ms: int = field(default=100, metadata={"min": 1, "max": 5_000})
    """Longest wait for a first input, in ms; bounds how late a timer fires on an idle worker."""
    cache_count_max: int = field(default=20_000, metadata={"min": 1, "max": 10_000_000})
    """Decoded sagas in memory a shard, of those that have not ended. Saves a read and a decode (about 8 us)
    an input."""
    record_bytes_max: int = field(default=900_000, metadata={"min": 10_000, "max": 67_108_864})
    """Largest record the worker writes, in bytes; below Kafka's default of 1,048,576 a batch."""
    restore_slice_ms: int = field(default=200, metadata={"min": 1, "max": 5_000})
    """How long a restore may keep the loop from polling, in ms; far below max.poll.interval."""
    restore_count_max: int = field(default=1_000, metadata={"min": 1, "max": 100_000})
    """Changelog records that a restore reads and writes at once; of each saga's only the last is
    written. Default 1,000: at 100 a record costs a tenth more, at 5,000 a thirtieth less."""
    committed_timeout_ms: int = field(default=500, metadata={"min": 10, "max": 10_000})
    """How long to wait for pending offsets of a dead predecessor before looking again, in ms."""
    fenced_patience_ms: int = field(default=4_000, metadata={"min": 0, "max": 60_000})
    """After being fenced, how long to see whether another process has our identity, in ms. Longer
    than a heartbeat, by which the group would tell us."""
    rotate_backoff_ms: int = field(default=1_000, metadata={"min": 1, "max": 60_000})
    """Pause between attempts to get a new producer while brokers are away, in ms."""
    delete_retention_ms: int = 7 * 24 * 3_600_000
    """`delete.retention.ms` of the changelog, in ms. A store that was out of touch for half of it
    is rebuilt: tombstones that it has not seen may be gone."""
    sync_interval_ms: int = 60_000
    """How often an idle shard's store notes that it is up to date, in ms."""
    backlog_patience_ms: int = field(default=1_000, metadata={"min": 0, "max": 60_000})
    """How long after the last input a shard just taken over still waits for more that lay ready,
    before its timers fire, in ms. Answers that came while no worker ran are no timeouts."""
    postpone_ms: int = 60_000
    """How long a timer rests that cannot be fired (definition missing, poison), in ms."""
    report_interval_ms: int = 30_000
    """How often the counters are logged, in ms. 0: never."""
    stall_exit_ms: int = field(default=60_000, metadata={"min": 0, "max": 3_600_000})
    """After how long without a turn of its loop a worker ends itself, in ms; 0: never. Default 60,000:
    every call has a shorter limit, but one of the client library's may never return."""
    disk_free_bytes_min: int = field(
        default=256 * 1024 * 1024, metadata={"min": 0, "max": 1_099_511_627_776}
    )
    """Bytes free on the disk of `data_dir` below which the worker takes no work, until there is a tenth
    more again. Default 256 MiB, what its memtables may hold; 0: it is not looked at."""
    accept_trimmed: bool = False
    """Go on where inputs were deleted before they were read. Default: the shard is halted, since
    accepted commands may be lost; set it once a person has looked."""

    def __post_init__(self) -> None:
        if not is_id(self.group):
            raise ConfigurationError(f"group={self.group!r}: must be [A-Za-z0-9._-]{{1,128}}")

    @property
    def instance_id(self) -> str:
        """Who this worker is, in the group and towards the transaction coordinator."""
        return instance_id(self.group, self.ordinal)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbySettings:
    """Warm copies: of shards whose owner may be lost, and of shards that a new worker will get."""

    standbys: int = field(default=1, metadata={"min": 0, "max": 9})
    """Warm copies of each shard besides its owner's, each at the worker that inherits it. Default 1:
    any one worker may be lost for good and its shards go on at once. As many as workers that may be
    lost together, say with one machine. Each worker then has a second process, unless it owns every
    shard; 0: none, and an heir restores first."""
    release_timeout_ms: int = field(default=2_000, metadata={"min": 10, "max": 60_000})
    """How long the standby may take to let go of a shard that the worker was given, in ms; then it
    is killed, and started anew."""
    membership_interval_ms: int = field(default=3_000, metadata={"min": 100, "max": 600_000})
    """How often the standby asks who is in the group, in ms: so late it learns whose heir it is."""
    standby_report_ms: int = field(default=2_000, metadata={"min": 100, "max": 600_000})
    """How often the standby commits its positions to the group `<instance>.standby`, in ms, for
    `saga shards` and other tools."""
    warm_up_ms: int = field(default=300_000, metadata={"min": 0, "max": 86_400_000})
    """How long a worker that joins others may first read the changelogs of the shards that it will
    get, in ms; their owners go on meanwhile. 0: it joins at once and restores then."""
    warm_up_lag_count: int = field(default=1_000, metadata={"min": 0, "max": 100_000_000})
    """Changelog offsets a shard that may be left to read when a warmed-up worker joins: about 10 ms
    of restoring."""


def instance_id(group: str, ordinal: int) -> str:
    """Identity of a worker: zero-padded, since the assignor sorts bytewise."""
    return f"{group}-{ordinal:03d}"

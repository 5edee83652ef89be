"""Every number of a participant's process, with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.participant.ledger import LEDGER_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantSettings:
    """How a participant runs. Kafka's own settings are in `KafkaSettings`."""

    ledger_directory: Path = Path("saga-ledgers")
    """Where ledgers lie, one directory a participant. Default `saga-ledgers` in the directory that
    the process was started in. It is the only copy of what was done: keep it on a durable disk."""
    ledger_kind: str = field(default="auto", metadata={"choices": LEDGER_KINDS})
    """What keeps the ledger. Default auto: `sqlite` if a handler takes a `sqlite3.Connection`, else
    `rocksdb`, which is three times as fast but belongs to one process."""
    ledger_fsync: bool = True
    """Whether each batch waits for the disk. Default true: a loss of power forgets nothing. False
    saves some 0.2 ms to 5 ms a batch and still survives the death of the process."""
    handler_threads: int = field(default=1, metadata={"min": 1, "max": 1_000})
    """Handlers that run side by side, of different sagas. Default 1. More is for handlers that wait
    for other services; those that work inside the ledger run one after another all the same."""
    commands_count_max: int = field(default=5_000, metadata={"min": 1, "max": 10_000})
    """Step commands a batch at most. Default 5,000: it begins with 500, and takes more only while the
    answers are longer on their way to brokers than they took to make, but for round trips alone."""
    handling_ms_max: int = field(default=10_000, metadata={"min": 10, "max": 120_000})
    """How long a batch may go on beginning handlers, in ms. Default 10,000: what is done by then is
    written down and answered, the rest is read again. Bounds how long replies wait for slow ones."""
    poll_interval_ms_max: int = field(default=300_000, metadata={"min": 20_000, "max": 3_600_000})
    """How long one handler may take, `handling_ms_max` included, in ms. Default 300,000: after it
    the group gives the commands to another process, or to this one again."""
    reply_bytes_max: int = field(default=250_000, metadata={"min": 1_000, "max": 250_000})
    """Bytes of one encoded result. Default and most 250,000: with its envelope it fits into the
    262,144 that a worker accepts."""
    participant_ordinal: int = field(default=0, metadata={"min": 0, "max": 999})
    """Number of this process among those of one participant, from 0; only a `sqlite` ledger can
    have several. It keeps its number over a restart, and so gets its commands back at once."""

"""Every error this package raises, as one tree.

::

    OrchestratorError
    ├─ DefinitionError          the saga's author is wrong      raised when built, never at run time
    ├─ CommandRejected          the caller is wrong             raised at the CLI/client edge only
    │  ├─ NotFound              what the command names does not exist
    │  └─ TimedOut              the caller's own time limit ran out; nothing else is wrong
    ├─ DecodeError              the bytes are wrong             dead-lettered, never stops a shard
    │  ├─ LimitExceeded         larger or more than allowed; nothing was decoded
    │  ├─ UnknownSchema         no schema has this fingerprint or id
    │  └─ MalformedPayload      the bytes do not fit their schema
    ├─ StateError               our own state is wrong          stop the shard, rebuild, compare
    │  ├─ CorruptStore          the local store cannot be read
    │  ├─ DiskFailed            the disk under it refuses to read or write
    │  └─ SequenceGap           an event is missing or repeated
    ├─ TransactionError         the five things a caller can do
    │  ├─ Retriable             same transaction, try again
    │  ├─ MustAbort             abort, re-read, try again
    │  ├─ Unwritable            abort, leave alone whoever writes there, the others try again
    │  ├─ Fenced                another owner exists: drop the shard, do nothing else
    │  └─ Doubtful              the outcome is unknown: rotate the producer, reload the cursor
    ├─ ConfigurationError       refuses to start; says the setting, the value, the allowed range
    │  └─ Unreachable           no broker answers at the address configured
    └─ LocalKafkaError          the development broker cannot be fetched or started

Texts are for people. Code branches on the class and on the fields, never on the text.
"""

from __future__ import annotations


class OrchestratorError(Exception):
    """Base of every error of this package; never raised itself."""

    operator_action: str = "Report this as a bug."
    """What a person should do about it, in one sentence."""


class DefinitionError(OrchestratorError):
    """A saga definition is wrong. `problems` holds every mistake found, each with place and cure."""

    operator_action = "Mend the definition at the places named."

    def __init__(self, problems: tuple[object, ...]) -> None:
        super().__init__("\n".join(["the definition has mistakes:", *map(str, problems)]))
        self.problems = problems


class CommandRejected(OrchestratorError):
    """A command was refused. `reason` is a stable code, `text` is for people."""

    operator_action = "Correct the command and send it again."

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


class NotFound(CommandRejected):
    """What the command names does not exist."""

    operator_action = "Look for it with `saga list` or `saga dead-letters`."


class TimedOut(CommandRejected):
    """The time that the caller allowed ran out; what was begun goes on all the same."""

    operator_action = "See where it stands with `saga show`."


class DecodeError(OrchestratorError):
    """Bytes from outside are not what they claim to be. `reason` is a stable code."""

    operator_action = "See the record in the dead-letter topic: `saga dead-letters`."

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


class LimitExceeded(DecodeError):
    """A record is larger, or has more parts, than the limits allow. Nothing of it was decoded."""


class UnknownSchema(DecodeError):
    """No known schema has the fingerprint or the id that the bytes begin with."""


class MalformedPayload(DecodeError):
    """The bytes do not fit the schema that they name."""


class StateError(OrchestratorError):
    """Our own state contradicts itself."""

    operator_action = "The shard is stopped. Compare log, changelog and store with `saga replay`."


class CorruptStore(StateError):
    """The local store cannot be opened or read. It is moved aside and rebuilt from the changelog."""


class DiskFailed(StateError):
    """The disk refuses to read or write the local store. Nothing is lost: Kafka has all of it."""

    operator_action = (
        "Look at the disk of data_dir: room, quota, hardware. The worker stands still and tries"
        " again; stop it, and its shards go to another."
    )


class SequenceGap(StateError):
    """An event does not follow the last one of its saga: one is missing or repeated."""


class TransactionError(OrchestratorError):
    """A Kafka transaction did not go through."""


class Retriable(TransactionError):
    """The call may be repeated as it is, within the same transaction."""

    operator_action = "None; it is retried."


class MustAbort(TransactionError):
    """The transaction must be aborted; the batch is run again from the committed position."""

    operator_action = "None; it is aborted and run again."


class Unwritable(TransactionError):
    """A topic takes no records, and trying again at once cannot help.

    `refused` are the partitions (topic, number) that are known to have refused one; empty if it is
    only known that some did.
    """

    operator_action = (
        "Let the topic named take records again: `saga topics create` makes a missing one, or allow"
        " the worker to write, or raise `max.message.bytes`. The shard then goes on by itself."
    )

    def __init__(self, text: str, refused: frozenset[tuple[str, int]] = frozenset()) -> None:
        super().__init__(text)
        self.refused = refused


class Fenced(TransactionError):
    """Another process owns this identity. This one must stop writing at once."""

    operator_action = "Check that no two workers share one instance id."


class Doubtful(TransactionError):
    """It is unknown whether the transaction committed: rotate the producer, reload the cursor."""

    operator_action = "None; the producer is replaced and the cursor read again."


class ConfigurationError(OrchestratorError):
    """A setting is wrong. The text names the setting, its value and what is allowed."""

    operator_action = "Correct the setting named."


class Unreachable(ConfigurationError):
    """No broker answers. The text names the address."""

    operator_action = "Check --bootstrap-servers (or SAGA_BOOTSTRAP_SERVERS); `saga dev` starts a Kafka of its own."


class LocalKafkaError(OrchestratorError):
    """The development broker cannot be fetched or started. The text says what is missing."""

    operator_action = "Follow the text, or pass --bootstrap-servers to use your own cluster."

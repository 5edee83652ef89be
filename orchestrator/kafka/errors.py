"""The client library's errors, turned into ours. The one place that knows its codes.

What to do about an error is said by its flags, not by its code: see `transaction_error`.
"""

# ruff: noqa: SLF001 - the library begins the names of its own codes with an underscore.

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from orchestrator.errors import (
    ConfigurationError,
    Doubtful,
    Fenced,
    MustAbort,
    OrchestratorError,
    Retriable,
    Unwritable,
)
from orchestrator.kafka.base import FaultKind

_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNRELEASED_INSTANCE_ID,
    }
)
_FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
_INVALID = frozenset(
    {
        KafkaError._INVALID_ARG,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)
_MOVING = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        # A new leader does not know yet up to where its followers have everything.
        KafkaError.OFFSET_NOT_AVAILABLE,
        # The one that was asked has gone, and the library has forgotten it.
        KafkaError._DESTROY_BROKER,
    }
)
STALE = _MOVING | {KafkaError._NOENT}
"""A question went to a broker that no longer leads the partition, or not yet."""
_UNREACHABLE = _MOVING | {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError.NETWORK_EXCEPTION,
    # A broker answers, but not yet the one that could: leaders and coordinators move.
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NOT_CONTROLLER,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}
_KINDS = {
    KafkaError._AUTO_OFFSET_RESET: FaultKind.OUT_OF_RANGE,
    KafkaError.OFFSET_OUT_OF_RANGE: FaultKind.OUT_OF_RANGE,
    KafkaError._UNKNOWN_PARTITION: FaultKind.GONE,
    KafkaError._UNKNOWN_TOPIC: FaultKind.GONE,
    KafkaError.UNKNOWN_TOPIC_OR_PART: FaultKind.GONE,
    KafkaError.UNKNOWN_TOPIC_ID: FaultKind.GONE,
    KafkaError._MAX_POLL_EXCEEDED: FaultKind.EXPELLED,
    KafkaError._BAD_MSG: FaultKind.BAD_RECORD,
    KafkaError._BAD_COMPRESSION: FaultKind.BAD_RECORD,
    KafkaError.INVALID_MSG: FaultKind.BAD_RECORD,
    **dict.fromkeys(_FORBIDDEN, FaultKind.FORBIDDEN),
}

_UNWRITABLE = frozenset(
    {
        *(code for code, kind in _KINDS.items() if kind is FaultKind.GONE),
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)
"""A topic takes nothing at all. One that only finds a record too large may be right: halving tells."""


def cause(error: KafkaException) -> KafkaError:
    """The error inside an exception of the client library."""
    inner: KafkaError = error.args[0]
    return inner


def is_refusal(error: KafkaError) -> bool:
    """Whether a topic takes no records, or not this one, however often it is sent."""
    return error.code() in _UNWRITABLE | {KafkaError.MSG_SIZE_TOO_LARGE}


def describe(error: KafkaError) -> str:
    """Code and words of an error, for people."""
    return f"{error.name()}: {error.str()}"


def fault_kind(error: KafkaError) -> FaultKind:
    """What an error in the place of a record means for the reader."""
    return _KINDS.get(error.code(), FaultKind.TRANSIENT)


def is_end(error: KafkaError) -> bool:
    """Whether this is no error but the news that a partition is read to its end."""
    return bool(error.code() == KafkaError._PARTITION_EOF)


def is_unreachable(error: KafkaError) -> bool:
    """Whether no broker that could have answered did."""
    return error.code() in _UNREACHABLE or _is_fenced_off(error)


def is_silence(error: KafkaError) -> bool:
    """Whether whoever was asked did not answer in time."""
    return bool(error.code() == KafkaError._TIMED_OUT)


def _is_fenced_off(error: KafkaError) -> bool:
    """Whether a controller has no broker for a topic just now, as after all of them were silent.

    Its code is the one of a replication that there are too few brokers for; only its words tell.
    """
    return error.code() == KafkaError.INVALID_REPLICATION_FACTOR and "fenced" in error.str()


def is_fenced(error: KafkaError) -> bool:
    """Whether another process took our identity."""
    return error.code() in _FENCED


def is_fatal(error: KafkaError) -> bool:
    """Whether the client that met it is of no more use.

    A consumer's fatal error comes in the place of a record, as a code without the flag; in the
    classic protocol it has one cause: another process joined with our instance id.
    """
    return bool(error.fatal() or error.code() == KafkaError._FATAL)


def transaction_error(error: KafkaError, doing: str) -> OrchestratorError:
    """What a failed call of the transactional producer means for its caller.

    A topic that is gone or forbidden is Unwritable: others may go on. Any other missing ACL or an
    impossible setting is a ConfigurationError: trying again cannot help. Whatever has no flag is
    Doubtful, as the client library advises: give the producer up.
    """
    text = f"{doing}: {describe(error)}"
    return _transaction_error_class(error)(text)


def _transaction_error_class(error: KafkaError) -> type[OrchestratorError]:
    if error.code() in _UNWRITABLE and not error.fatal():
        return Unwritable
    if error.code() in _FORBIDDEN | _INVALID:
        return ConfigurationError
    if is_fenced(error):
        return Fenced
    if error.fatal():
        return Doubtful
    if error.txn_requires_abort():
        return MustAbort
    return Retriable if error.retriable() else Doubtful


def sending_error(error: KafkaError, doing: str) -> OrchestratorError:
    """What a record that was not written means, outside of transactions."""
    lasting = fault_kind(error) in (FaultKind.GONE, FaultKind.FORBIDDEN)
    if lasting or error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return ConfigurationError(f"{doing}: {describe(error)}")
    return cluster_error(error, doing)


def cluster_error(error: KafkaError, doing: str) -> OrchestratorError:
    """What a failed question to the cluster means: Retriable if time may cure it."""
    text = f"{doing}: {describe(error)}"
    if is_fenced(error):
        return Fenced(text)
    if error.code() in _FORBIDDEN | _INVALID or error.fatal():
        return ConfigurationError(text)
    return Retriable(text)

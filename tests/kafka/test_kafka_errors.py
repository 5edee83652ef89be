"""What to do about an error is read from its flags, so the table is over flags."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from orchestrator.errors import (
    ConfigurationError,
    Doubtful,
    Fenced,
    MustAbort,
    Retriable,
    Unwritable,
)
from orchestrator.kafka.base import FaultKind
from orchestrator.kafka.errors import (
    cluster_error,
    fault_kind,
    is_fatal,
    is_unreachable,
    sending_error,
    transaction_error,
)


def error(code, words="words", *, fatal=False, retriable=False, abort=False):
    return KafkaError(code, words, fatal, retriable, abort)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (error(KafkaError._FENCED, fatal=True), Fenced),
        (error(KafkaError.INVALID_PRODUCER_EPOCH, fatal=True), Fenced),
        (error(KafkaError.FENCED_INSTANCE_ID, abort=True), Fenced),
        (error(KafkaError.INVALID_PRODUCER_ID_MAPPING, fatal=True), Doubtful),
        (error(KafkaError.INVALID_TXN_STATE, fatal=True), Doubtful),
        (error(KafkaError.ILLEGAL_GENERATION, abort=True), MustAbort),
        (error(KafkaError.UNKNOWN_MEMBER_ID, abort=True), MustAbort),
        (error(KafkaError.MSG_SIZE_TOO_LARGE, abort=True), MustAbort),
        (error(KafkaError.TRANSACTION_ABORTABLE, abort=True), MustAbort),
        (error(KafkaError._TIMED_OUT, retriable=True), Retriable),
        (error(KafkaError.COORDINATOR_NOT_AVAILABLE, retriable=True), Retriable),
        (error(KafkaError._STATE), Doubtful),
        (error(KafkaError._TRANSPORT), Doubtful),
        (error(KafkaError._TIMED_OUT), Doubtful),
        (error(KafkaError.UNKNOWN), Doubtful),
        (error(KafkaError.TOPIC_AUTHORIZATION_FAILED, abort=True), Unwritable),
        (error(KafkaError.UNKNOWN_TOPIC_OR_PART, abort=True), Unwritable),
        (error(KafkaError._UNKNOWN_PARTITION), Unwritable),
        (error(KafkaError.GROUP_AUTHORIZATION_FAILED, abort=True), ConfigurationError),
        (error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, fatal=True), ConfigurationError),
        (error(KafkaError.INVALID_TRANSACTION_TIMEOUT, fatal=True), ConfigurationError),
    ],
)
def test_each_error_means_one_thing_to_do(found, kind):
    raised = transaction_error(found, "committing")

    assert type(raised) is kind
    assert "committing" in str(raised)
    assert found.name() in str(raised)


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (KafkaError._TRANSPORT, True),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, True),
        (KafkaError.OFFSET_NOT_AVAILABLE, True),  # of a leader that has just been elected
        (KafkaError.FENCED_LEADER_EPOCH, True),
        (KafkaError._DESTROY_BROKER, True),  # of a coordinator that went away while it was asked
        (KafkaError._NOENT, False),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
    ],
)
def test_what_passes_while_leaders_move_is_no_wrong_setting(code, passes):
    assert is_unreachable(error(code)) is passes


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("All brokers are currently fenced, or have all their log directories cordoned.", True),
        (
            "The target replication factor of 3 cannot be reached because only 1 are registered",
            False,
        ),
    ],
)
def test_brokers_that_are_fenced_off_come_back_but_those_that_are_too_few_do_not(said, passes):
    assert is_unreachable(error(KafkaError.INVALID_REPLICATION_FACTOR, said)) is passes


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._AUTO_OFFSET_RESET, FaultKind.OUT_OF_RANGE),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, FaultKind.GONE),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, FaultKind.FORBIDDEN),
        (KafkaError._BAD_MSG, FaultKind.BAD_RECORD),
        (KafkaError._MAX_POLL_EXCEEDED, FaultKind.EXPELLED),
        (KafkaError._ALL_BROKERS_DOWN, FaultKind.TRANSIENT),
        (KafkaError.UNKNOWN, FaultKind.TRANSIENT),
    ],
)
def test_each_fault_has_a_kind(code, kind):
    assert fault_kind(error(code)) is kind


def test_a_consumers_fatal_error_is_known_by_its_code():
    assert is_fatal(error(KafkaError._FATAL))
    assert is_fatal(error(KafkaError.UNKNOWN, fatal=True))
    assert not is_fatal(error(KafkaError._TRANSPORT))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TIMED_OUT, Retriable),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, ConfigurationError),
        (KafkaError.FENCED_INSTANCE_ID, Fenced),
    ],
)
def test_a_failed_question_is_repeated_unless_it_cannot_help(code, kind):
    assert type(cluster_error(error(code), "asking")) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._MSG_TIMED_OUT, Retriable),
        (KafkaError.MSG_SIZE_TOO_LARGE, ConfigurationError),
        (KafkaError._UNKNOWN_TOPIC, ConfigurationError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConfigurationError),
    ],
)
def test_an_unsent_record_is_the_callers_fault_or_times(code, kind):
    assert type(sending_error(error(code), "sending")) is kind

"""The tables of a handler that works inside the ledger."""

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.participant import Transaction
from orchestrator.participant.transaction import KEY_BYTES_MAX


def test_rows_numbers_and_deletes():
    tables = Transaction.in_memory()
    tables.put("seats", "b", b"2")
    tables.put("seats", "a/é", b"1")
    tables.put("seats2", "a", b"other")
    assert list(tables.rows("seats")) == [("a/é", b"1"), ("b", b"2")]
    assert tables.add("seats", "b", 40) == 42
    assert tables.add("seats", "new", -1) == -1
    tables.delete("seats", "b")
    tables.delete("seats", "never")
    assert tables.get("seats", "b") is None
    assert tables.number("seats", "b") == 0


def test_a_dropped_step_brings_back_what_was_deleted():
    tables = Transaction.in_memory()
    tables.put("seats", "a", b"1")
    tables.close_step(keep=True)
    tables.delete("seats", "a")
    assert list(tables.rows("seats")) == []
    tables.close_step(keep=False)
    assert tables.get("seats", "a") == b"1"
    assert tables.take_batch() == {b"seats\x00a": b"1"}
    assert tables.get("seats", "a") is None


@pytest.mark.parametrize("table", ["", "a/b", "a\x00b", "x" * 129])
def test_table_names_are_ids(table):
    with pytest.raises(ConfigurationError, match="table"):
        Transaction.in_memory().put(table, "k", b"")


def test_keys_have_a_limit():
    with pytest.raises(ConfigurationError, match="1025"):
        Transaction.in_memory().get("t", "x" * (KEY_BYTES_MAX + 1))


def test_a_number_that_is_none_is_said_to_be_none():
    tables = Transaction.in_memory()
    tables.put("t", "k", b"many")
    with pytest.raises(ValueError, match="many"):
        tables.add("t", "k", 1)

"""Every ledger keeps the same promises."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from orchestrator.errors import ConfigurationError, CorruptStore, Fenced
from orchestrator.participant import ledger_bytes
from orchestrator.participant.ledger import BEGUN, FAILED, SUCCEEDED, Entry
from orchestrator.participant.ledger_rocks import RocksLedger
from orchestrator.participant.ledger_sqlite import SqliteLedger

DONE = Entry("s1/seat/do", SUCCEEDED, False, 1, 1_700_000_000_000, "", b"\x00\xff")
NO = Entry("s2/seat/do", FAILED, True, 0, 7, "SoldOut: é", b"x")
MARK = Entry("s3/seat/do", BEGUN, False, 0, 7, "", b"")


def test_what_is_recorded_is_found_at_once(open_ledger):
    ledger = open_ledger()
    assert ledger.find(DONE.operation) is None
    ledger.record(DONE)
    assert ledger.find(DONE.operation) == DONE
    ledger.record(DONE._replace(applied_count=2))
    assert ledger.find(DONE.operation).applied_count == 2
    ledger.forget(DONE.operation)
    assert ledger.find(DONE.operation) is None


def test_what_is_committed_survives_and_the_rest_does_not(open_ledger):
    ledger = open_ledger()
    for entry in (NO, DONE):
        ledger.record(entry)
    ledger.commit()
    ledger.record(MARK)
    ledger.forget(DONE.operation)
    ledger.close()
    again = open_ledger()
    assert list(again.entries()) == [DONE, NO]
    assert again.find(MARK.operation) is None


def test_a_committed_mark_can_be_replaced_and_forgotten(open_ledger):
    ledger = open_ledger()
    for mark in (MARK, MARK._replace(doubtful=True)):
        ledger.record(mark)
        ledger.commit()
        assert ledger.find(MARK.operation) == mark
    ledger.forget(MARK.operation)
    ledger.commit()
    assert ledger.find(MARK.operation) is None
    assert list(ledger.entries()) == []


def test_closing_twice_is_no_error(open_ledger):
    ledger = open_ledger()
    ledger.close()
    ledger.close()


def write(ledger, key, value):
    if isinstance(ledger, SqliteLedger):
        ledger.handle.execute("create table if not exists mine (k primary key, v)")
        ledger.handle.execute("insert or replace into mine values (?, ?)", (key, value))
    else:
        ledger.handle.put("mine", key, value)


def rows(ledger):
    if isinstance(ledger, SqliteLedger):
        known = ledger.handle.execute("select 1 from sqlite_master where name = 'mine'").fetchone()
        found = ledger.handle.execute("select k, v from mine order by k") if known else []
        return [(k, bytes(v)) for k, v in found]
    return list(ledger.handle.rows("mine"))


def test_a_dropped_step_leaves_nothing_and_a_kept_one_is_seen_by_the_next(open_ledger):
    ledger = open_ledger()
    ledger.open_step()
    write(ledger, "a", b"1")
    ledger.close_step(keep=True)
    ledger.open_step()
    write(ledger, "a", b"2")
    write(ledger, "b", b"2")
    assert rows(ledger) == [("a", b"2"), ("b", b"2")]
    ledger.close_step(keep=False)
    assert rows(ledger) == [("a", b"1")]
    ledger.commit()
    ledger.close()
    assert rows(open_ledger()) == [("a", b"1")]


def test_data_and_entry_are_lost_together(open_ledger):
    ledger = open_ledger()
    ledger.open_step()
    write(ledger, "a", b"1")
    ledger.close_step(keep=True)
    ledger.record(DONE)
    ledger.close()
    again = open_ledger()
    assert rows(again) == []
    assert again.find(DONE.operation) is None


CHILD = """
    import sys, pathlib
    from orchestrator.participant.ledger import Entry
    from orchestrator.participant.ledger_rocks import RocksLedger
    from orchestrator.participant.ledger_sqlite import SqliteLedger
    kind, path = sys.argv[1:]
    ledger = (RocksLedger if kind == "rocksdb" else SqliteLedger)(pathlib.Path(path), fsync=False)
    if kind == "sqlite":
        ledger.handle.execute("create table mine (k primary key, v)")
    for n in range(1_000_000):
        ledger.open_step()
        if kind == "rocksdb":
            ledger.handle.add("mine", "total", 1)
        else:
            ledger.handle.execute("insert into mine values (?, 1)", (n,))
        ledger.close_step(keep=True)
        ledger.record(Entry(f"s{n:07}/seat/do", 1, False, 1, 0, "", b""))
        ledger.commit()
        print(n, flush=True)
"""


@pytest.mark.parametrize("kind", ["rocksdb", "sqlite"])
def test_a_killed_process_leaves_entries_and_data_in_step(kind, tmp_path):
    path = tmp_path / "ledger"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), kind, str(path)], stdout=subprocess.PIPE
    )
    for line in child.stdout:
        if int(line) >= 200:
            break
    os.kill(child.pid, signal.SIGKILL)
    acknowledged = max([200, *map(int, child.stdout.read().split())]) + 1
    child.wait()
    child.stdout.close()
    ledger = (RocksLedger if kind == "rocksdb" else SqliteLedger)(path)
    entries = len(list(ledger.entries()))
    if kind == "rocksdb":
        data = ledger.handle.number("mine", "total")
    else:
        (data,) = ledger.handle.execute("select count(*) from mine").fetchone()
    ledger.close()
    assert entries == data >= acknowledged


def test_a_rocks_ledger_belongs_to_one_process(tmp_path):
    ledger = RocksLedger(tmp_path / "one")
    with pytest.raises(ConfigurationError, match="belongs to one process"):
        RocksLedger(tmp_path / "one")
    ledger.close()
    RocksLedger(tmp_path / "one").close()


@pytest.mark.parametrize("kind", [RocksLedger, SqliteLedger])
def test_a_reader_sees_a_living_ledger_and_cannot_write(kind, tmp_path):
    path = tmp_path / "ledger"
    ledger = kind(path)
    ledger.record(DONE)
    ledger.commit()
    reader = kind(path, read_only=True)
    assert list(reader.entries()) == [DONE]
    with pytest.raises((ConfigurationError, CorruptStore)):
        (reader.record(NO), reader.commit())
    reader.close()
    ledger.close()


@pytest.mark.parametrize("kind", [RocksLedger, SqliteLedger])
def test_a_reader_makes_nothing(kind, tmp_path):
    with pytest.raises(ConfigurationError, match="there is no ledger"):
        kind(tmp_path / "none", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_sqlite_file_is_said_to_be_broken(tmp_path):
    (tmp_path / "ledger").write_bytes(b"not a database" * 1_000)
    with pytest.raises(CorruptStore):
        SqliteLedger(tmp_path / "ledger")


def test_a_broken_rocks_directory_is_said_to_be_broken(tmp_path):
    RocksLedger(tmp_path / "ledger").close()
    for file in (tmp_path / "ledger").glob("MANIFEST*"):
        file.write_bytes(b"rubbish" * 100)
    with pytest.raises(CorruptStore):
        RocksLedger(tmp_path / "ledger")


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" + b"\x00" * 30])
def test_bytes_that_are_no_entry(value):
    with pytest.raises(CorruptStore):
        ledger_bytes.decode("s1/seat/do", value)


def test_two_processes_may_share_a_sqlite_ledger(tmp_path):
    one, two = (SqliteLedger(tmp_path / "ledger") for _ in range(2))
    one.record(DONE)
    one.commit()
    assert two.find(DONE.operation) == DONE
    two.commit()
    one.close()
    two.close()


def test_of_two_processes_only_one_answers_and_applies(tmp_path):
    one, two = (SqliteLedger(tmp_path / "ledger") for _ in range(2))
    one.handle.execute("create table mine (x)")
    for ledger in (one, two):
        assert ledger.find(DONE.operation) is None
    for ledger in (one, two):
        ledger.open_step()
        ledger.handle.execute("insert into mine values (1)")
        ledger.close_step(keep=True)
        ledger.record(DONE)
        if ledger is one:
            ledger.commit()
    with pytest.raises(Fenced, match=DONE.operation):
        two.commit()
    assert one.handle.execute("select count(*) from mine").fetchone() == (1,)
    one.close()
    two.close()

"""Tables: what fits a terminal's width stays on one line, and piped output is never cut."""

from __future__ import annotations

import io

import pytest

from orchestrator.cli import tables
from orchestrator.cli.output import Output, counted
from orchestrator.cli.tables import When, fitted, plain

AT_MS = 1_790_000_000_000
DAY_MS = 24 * 3_600_000
COLUMNS = ("seq", "time", "event", "cause", "record", "details")
EVENTS = ("SagaStarted", "CompensationRequested", "StepFailed")
ROWS = [
    (n, When(AT_MS + n * 1_234), event, "reply", f"saga.events/0/{n}", "x" * 150)
    for n, event in enumerate(EVENTS)
]


class Terminal(io.StringIO):
    """A stream that says that people watch."""

    def isatty(self):
        return True


@pytest.mark.parametrize("width", [60, 80, 120, 400])
def test_every_line_fits(width):
    table = fitted(COLUMNS, ROWS, width, ("record", "cause"))

    assert max(map(len, tables.lines(table))) <= width
    assert set(table.columns) | set(table.left_out) >= {"seq", "event", "record", "cause"}
    assert "SagaStarted" in {row[table.columns.index("event")] for row in table.rows}


def test_room_decides_what_is_left_out():
    assert fitted(COLUMNS, ROWS, 60, ("record", "cause")).left_out == ("record", "cause")
    assert fitted(COLUMNS, ROWS, 400, ("record", "cause")).left_out == ()


def test_a_day_that_all_share_stands_in_the_heading():
    table = fitted(("time", "due"), [(When(AT_MS), When(0)), (When(AT_MS + 5), When(0))], 80)

    assert table.columns == ("time (2026-09-21)", "due")
    assert table.rows == (("14:13:20.000", ""), ("14:13:20.005", ""))


def test_days_that_differ_stand_in_the_cells():
    table = fitted(("time",), [(When(AT_MS),), (When(AT_MS + DAY_MS),)], 80)

    assert table.columns == ("time",)
    assert table.rows == (("2026-09-21 14:13:20.000",), ("2026-09-22 14:13:20.000",))


def test_cut_cells_say_so():
    assert fitted(("a", "b"), [("id-1", "y" * 50)], 30).rows == (("id-1", "y" * 23 + "…"),)


def test_nothing_is_cut_for_a_pipe():
    table = plain(COLUMNS, ROWS)

    assert table.rows[0][1] == "2026-09-21T14:13:20.000+00:00"
    assert table.rows[0][-1] == "x" * 150


@pytest.mark.parametrize(("width", "left_out"), [("80", True), ("200", False)])
def test_a_terminals_width_is_kept(monkeypatch, width, left_out):
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("NO_COLOR", "1")
    stdout, stderr = Terminal(), io.StringIO()
    Output(stdout=stdout, stderr=stderr).table(COLUMNS, ROWS, drop=("record", "cause"))

    assert max(map(len, stdout.getvalue().splitlines())) <= int(width)
    assert ("No room for: record" in stderr.getvalue()) == left_out


def test_colours_change_no_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    stdout = Terminal()
    Output(stdout=stdout, stderr=io.StringIO()).table(COLUMNS, ROWS, drop=("record", "cause"))

    lines = stdout.getvalue().splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_table_without_rows():
    assert fitted(("a",), [], 80) == plain(("a",), [])


def test_numbers_agree_with_their_nouns():
    assert [counted(n, "saga") for n in (0, 1, 2)] == ["0 sagas", "1 saga", "2 sagas"]

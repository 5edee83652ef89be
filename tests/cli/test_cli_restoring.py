"""The bar that a worker draws while it restores."""

import io

from orchestrator.cli import restoring
from orchestrator.runtime.recovery import RestoreProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_bar_without_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())

    assert restoring.shown_restore() is None


def test_each_shard_has_a_bar_until_it_is_done(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show = restoring.shown_restore()
    show(RestoreProgress(0, 1_000, 250_000, 3_000, 1.5))
    show(RestoreProgress(1, 500, 100_000, 500, 0.5))
    show._progress.refresh()
    show(RestoreProgress(0, 4_000, 1_000_000, 0, 0.0))
    assert set(show._tasks) == {1}
    show(RestoreProgress(1, 1_000, 200_000, 0, 0.0))
    assert show._progress is None

    drawn = terminal.getvalue()
    assert "restoring shard 0: 1,000 records, 0.2 MB, 2 s left" in drawn
    assert "restoring shard 1: 500 records" in drawn

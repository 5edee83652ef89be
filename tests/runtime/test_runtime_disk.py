"""When a worker stops taking work for want of room, and when it goes on."""

from __future__ import annotations

import pytest

from orchestrator.runtime import disk
from orchestrator.runtime.disk import DiskWatch


class Desk:
    """A disk and a clock that do as they are told."""

    def __init__(self):
        self.free, self.now_s, self.looks = 1_000, 50.0, 0

    def look(self, _):
        self.looks += 1
        return self.free

    def clock(self):
        return self.now_s

    def later(self, watch, free):
        self.free, self.now_s = free, self.now_s + 1
        return watch.is_low()


@pytest.fixture
def desk(monkeypatch):
    made = Desk()
    monkeypatch.setattr(disk, "free_bytes", made.look)
    return made


def test_work_stops_below_the_mark_and_goes_on_a_tenth_above_it(desk, tmp_path):
    watch = DiskWatch(tmp_path, 500, desk.clock)

    found = [desk.later(watch, free) for free in (1_000, 500, 499, 500, 549, 550, 500, 400)]

    assert found == [False, False, True, True, True, False, False, True]
    assert watch.free_bytes == 400


def test_the_disk_is_asked_once_a_second(desk, tmp_path):
    watch = DiskWatch(tmp_path, 500, desk.clock)
    for _ in range(100):
        watch.is_low()
    assert desk.looks == 1


def test_nobody_looks_if_it_is_switched_off(desk, tmp_path):
    desk.free = 0
    assert not DiskWatch(tmp_path, 0, desk.clock).is_low()
    assert desk.looks == 0


def test_waiting_ends_with_room_or_when_asked_to_stop(desk, tmp_path, monkeypatch):
    desk.free = 0

    def nap(_):
        desk.now_s, desk.free = desk.now_s + 0.5, desk.free + 100

    monkeypatch.setattr(disk.time, "sleep", nap)
    DiskWatch(tmp_path, 500, desk.clock).wait(lambda: False)
    assert desk.free >= 550

    desk.free = 0
    DiskWatch(tmp_path, 500, desk.clock).wait(lambda: True)
    assert desk.free == 0


def test_a_real_disk_has_some_room(tmp_path):
    assert disk.free_bytes(tmp_path) > 0

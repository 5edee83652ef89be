"""Durations, read aloud: `within=seconds(10)`, `deadline=minutes(30)`."""

from __future__ import annotations

from datetime import timedelta


def seconds(count: float) -> timedelta:
    """Give a duration of `count` seconds."""
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    """Give a duration of `count` minutes."""
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    """Give a duration of `count` hours."""
    return timedelta(hours=count)


def days(count: float) -> timedelta:
    """Give a duration of `count` days."""
    return timedelta(days=count)


def milliseconds(duration: timedelta) -> int:
    """Give a duration as a whole number of ms, rounded up."""
    return -(-duration // timedelta(milliseconds=1))


def say(duration: timedelta) -> str:
    """Give a duration for people: `50 min`, `1 h 30 min`, `250 ms`."""
    if duration < timedelta(0):
        return f"minus {say(-duration)}"
    left_ms, words = milliseconds(duration), []
    for unit, unit_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        count, left_ms = divmod(left_ms, unit_ms)
        if count:
            words.append(f"{count} {unit}")
    if left_ms or not words:
        words.append(f"{left_ms} ms")
    return " ".join(words)

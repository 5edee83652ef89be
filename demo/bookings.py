"""The bookings: one for each flight that left New York in 2013, in the order of the schedule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sagas.book_trip.contracts import Trip
from sagas.book_trip.inventory import Departure, schedule
from sagas.book_trip.saga import book_trip

if TYPE_CHECKING:
    from orchestrator import Start

TRIPS_PER_TRAVELLER = 20
"""So many trips share a wallet, which does not quite hold them all."""
FARE_CENTS = 5_000
FARE_PER_MILE_CENTS = 12


class Booking(NamedTuple):
    """One saga to be started."""

    saga_id: str
    start: Start[Any]


def bookings(count: int) -> Iterator[Booking]:
    """Give the first `count` bookings of the year; fewer if there are not so many flights."""
    travellers = max(1, count // TRIPS_PER_TRAVELLER)
    for number, departure in enumerate(islice(schedule(), count)):
        yield Booking(f"trip-{number:06}", book_trip.given(_trip(number % travellers, departure)))


def _trip(traveller: int, departure: Departure) -> Trip:
    return Trip(
        traveller=f"traveller-{traveller:05}",
        flight=departure.flight,
        aircraft=departure.aircraft,
        city=departure.city,
        night=departure.date,
        price_cents=FARE_CENTS + FARE_PER_MILE_CENTS * departure.distance_miles,
    )

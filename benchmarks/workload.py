"""Which trips are started, which of them fail, and what must have been done when all have ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.trip import Card, Flight, Hotel, Traveller, Trip, trip

if TYPE_CHECKING:
    from orchestrator import Start

FAIL_RATE = 0.1
_NOTE = "x" * 200
"""What field names weigh in the peers' JSON: with it the Avro payload has their 330 bytes."""
_FLIGHT = Flight("ZRH", "LIS", "2026-12-24", "economy")
_HOTEL = Hotel("Lisbon", 4, "double")
_CARDS = tuple(Card("tok_0123456789abcdef", 129900, "EUR", declined) for declined in (False, True))
_DONE = ("flight", "hotel", "card")
_TAKEN_BACK = ("flight", "hotel", "undo_hotel", "undo_flight")


def fails(number: int, rate: float = FAIL_RATE) -> bool:
    """Whether the trip fails at the card: evenly spread, floor(n * rate) of the first n."""
    return int((number + 1) * rate + 1e-9) > int(number * rate + 1e-9)


def saga_id(batch: str, number: int) -> str:
    """Name a trip."""
    return f"{batch}-{number}"


def payload(batch: str, number: int) -> Trip:
    """Make the input of a trip."""
    traveller = Traveller("Ada Example", f"ada{number:07d}@example.test")
    return Trip(saga_id(batch, number), traveller, _FLIGHT, _HOTEL, _CARDS[fails(number)], _NOTE)


def starts(batch: str, count: int) -> Iterator[tuple[str, Start[Any]]]:
    """Give the trips of a batch, to be started."""
    for number in range(count):
        yield saga_id(batch, number), trip.given(payload(batch, number))


def business(number: int) -> str:
    """How a trip must end."""
    return "rolled_back" if fails(number) else "completed"


def effects(number: int) -> tuple[str, ...]:
    """Effects that a trip must have: each once, and no others."""
    return _TAKEN_BACK if fails(number) else _DONE

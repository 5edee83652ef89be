"""What the order saga and its participants have agreed on."""

from __future__ import annotations

from orchestrator import Command, Done, Participant, Payload

warehouse = Participant("warehouse")
payments = Participant("payments")
carrier = Participant("carrier")


class Order(Payload):
    """One article, so many pieces, perhaps as a gift."""

    order: str
    article: str
    pieces: int
    total_cents: int
    gift: bool


class StockReserved(Payload):
    """The pieces lie aside."""

    shelf: str


class OutOfStock(Payload):
    """There are not so many."""

    available: int


class ReserveStock(Command[StockReserved, OutOfStock], to=warehouse):
    """Lay pieces aside."""

    article: str
    pieces: int


class ReleaseStock(Command[Done], to=warehouse):
    """Put the pieces back."""

    article: str
    pieces: int


class MoneyHeld(Payload):
    """The money is held, not taken."""

    hold: str


class HoldRefused(Payload):
    """The card does not allow it."""

    reason: str


class HoldMoney(Command[MoneyHeld, HoldRefused], to=payments):
    """Hold money on the card."""

    order: str
    amount_cents: int


class FreeMoney(Command[Done], to=payments):
    """Let the held money go."""

    order: str


class Wrapped(Payload):
    """The pieces are wrapped."""

    paper: str


class WrapGift(Command[Wrapped], to=warehouse):
    """Wrap the pieces."""

    shelf: str


class UnwrapGift(Command[Done], to=warehouse):
    """Unwrap the pieces."""

    shelf: str


class Captured(Payload):
    """The money is ours."""

    receipt: str


class HoldExpired(Payload):
    """The hold is gone."""

    hold: str


class CaptureMoney(Command[Captured, HoldExpired], to=payments):
    """Take the money that is held."""

    order: str
    hold: str


class Shipped(Payload):
    """The parcel is on its way."""

    tracking: str


class Ship(Command[Shipped], to=carrier):
    """Hand the parcel to the carrier."""

    order: str
    shelf: str
    paper: str

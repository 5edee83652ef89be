"""The workload of the fault runs: a bank whose money must add up, whatever dies.

Accounts open with the same balance; only the change since is stored, so all changes sum up to zero.
Names say what an account is for: money is taken from `account-n`, given to `saving-n` (from which
nobody takes, so that a gift can always be taken back), and letters to `-closed` come back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from orchestrator import (
    Command,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    Retry,
    derive,
    minutes,
    saga,
    seconds,
    step,
)
from orchestrator.participant import RetryLater, Transaction

bank = Participant("bank")
post = Participant("post")

OPENING_CENTS = 10_000
PARCEL_BYTES = 240_000
"""Four of them are more than a saga may hold."""
FAN_COUNT = 400
ROUND_COUNT = 8


class Transfer(Payload):
    source: str
    target: str
    amount_cents: int


class Balance(Payload):
    cents: int


class Parcel(Payload):
    content: bytes


class Refused(Payload):
    reason: str


class Debit(Command[Balance, Refused], to=bank):
    account: str
    amount_cents: int


class GiveBack(Command[Done], to=bank):
    account: str
    amount_cents: int


class Credit(Command[Balance, Refused], to=bank):
    account: str
    amount_cents: int


class TakeBack(Command[Done], to=bank):
    account: str
    amount_cents: int


class Announce(Command[Done, Refused], to=post):
    account: str


class Fetch(Command[Parcel], to=bank):
    """Asks for something large."""

    account: str


class ReturnIt(Command[Done], to=bank):
    account: str


class Knock(Command[Done], to=post):
    """Is never answered but by "try again"."""

    account: str


class Apologise(Command[Done], to=post):
    account: str


@Debit.handler
def on_debit(command: Debit, tables: Transaction) -> Balance | Refused:
    balance = OPENING_CENTS + tables.number("changes", command.account)
    if balance < command.amount_cents:
        return Refused("too poor")
    tables.add("changes", command.account, -command.amount_cents)
    return Balance(balance - command.amount_cents)


@GiveBack.handler
def on_give_back(command: GiveBack, tables: Transaction) -> Done:
    tables.add("changes", command.account, command.amount_cents)
    return Done()


@Credit.handler
def on_credit(command: Credit, tables: Transaction) -> Balance | Refused:
    return Balance(OPENING_CENTS + tables.add("changes", command.account, command.amount_cents))


@TakeBack.handler
def on_take_back(command: TakeBack, tables: Transaction) -> Done:
    tables.add("changes", command.account, -command.amount_cents)
    return Done()


@Announce.handler
def on_announce(command: Announce, tables: Transaction) -> Done | Refused:
    if command.account.endswith("-closed"):
        return Refused("no such address")
    tables.add("letters", command.account, 1)
    return Done()


@Fetch.handler
def on_fetch(_: Fetch) -> Parcel:
    return Parcel(bytes(PARCEL_BYTES))


@ReturnIt.handler
def on_return_it(_: ReturnIt) -> Done:
    return Done()


@Knock.handler
def on_knock(command: Knock) -> Done:
    raise RetryLater(f"{command.account} is not at home")


@Apologise.handler
def on_apologise(command: Apologise, tables: Transaction) -> Done:
    tables.add("letters", command.account, -1)
    return Done()


PATIENT = Retry.forever(first=timedelta(milliseconds=200), cap=seconds(1))
NEVER_TIRED = Retry.forever(first=timedelta(milliseconds=100), cap=timedelta(milliseconds=100))
HASTY = Retry(attempts=2, first=timedelta(milliseconds=100))


@step(within=seconds(1), retry=PATIENT)
def debit(transfer: Transfer) -> Debit:
    return Debit(transfer.source, transfer.amount_cents)


@debit.undo(within=seconds(1), retry=PATIENT)
def give_back(command: Debit, _: Balance | None) -> GiveBack:
    return GiveBack(command.account, command.amount_cents)


@step(within=seconds(1), retry=PATIENT)
def left(transfer: Transfer) -> Credit:
    return Credit(transfer.target, transfer.amount_cents // 2)


@left.undo(within=seconds(1), retry=PATIENT)
def left_back(command: Credit, _: Balance | None) -> TakeBack:
    return TakeBack(command.account, command.amount_cents)


@step(within=seconds(1), retry=PATIENT)
def right(transfer: Transfer) -> Credit:
    return Credit(transfer.target, transfer.amount_cents - transfer.amount_cents // 2)


@right.undo(within=seconds(1), retry=PATIENT)
def right_back(command: Credit, _: Balance | None) -> TakeBack:
    return TakeBack(command.account, command.amount_cents)


@step(within=seconds(1), retry=PATIENT)
def announce(transfer: Transfer) -> Announce:
    return Announce(transfer.target)


@announce.undo(within=seconds(1), retry=PATIENT)
def apologise(command: Announce, _: Done | None) -> Apologise:
    return Apologise(command.account)


@step(within=seconds(1), retry=PATIENT, irreversible=True)
def credit(transfer: Transfer) -> Credit:
    return Credit(transfer.target, transfer.amount_cents)


@step(within=timedelta(milliseconds=400), retry=HASTY)
def hasty_debit(transfer: Transfer) -> Debit:
    return Debit(transfer.source, transfer.amount_cents)


@hasty_debit.undo(within=seconds(1), retry=PATIENT)
def hasty_back(command: Debit, _: Balance | None) -> GiveBack:
    return GiveBack(command.account, command.amount_cents)


@saga(version=1, deadline=minutes(10))
def move(flow: Flow, transfer: Later[Transfer]) -> None:
    """Take and give; what was given is not taken back."""
    flow.do(debit(transfer))
    flow.pivot(credit(transfer))


@saga(version=1, deadline=minutes(10))
def spread(flow: Flow, transfer: Later[Transfer]) -> None:
    """Take, give in two halves at once, and tell; whom no letter reaches loses everything."""
    flow.do(debit(transfer))
    flow.parallel(left(transfer), right(transfer))
    flow.do(announce(transfer))


def invitations(transfer: Later[Transfer]) -> list[Any]:
    return [announce.named(f"invite_{n}")(transfer) for n in range(ROUND_COUNT)]


@saga(version=1, deadline=minutes(10))
def invite(flow: Flow, transfer: Later[Transfer]) -> None:
    """Write a handful of letters at once."""
    flow.parallel(*invitations(transfer))


@saga(version=1, deadline=minutes(10))
def hurry(flow: Flow, transfer: Later[Transfer]) -> None:
    """Take at once or not at all: a silent bank turns the saga back without knowing."""
    flow.do(hasty_debit(transfer))
    flow.pivot(credit(transfer))


# --- poison: sagas that must harm nobody but themselves -----------------------------------------


@step(within=seconds(1), retry=PATIENT)
def raising(transfer: Transfer) -> Credit:
    raise LookupError(f"no such account: {transfer.target}")


@raising.undo(within=seconds(1), retry=PATIENT)
def not_raising(command: Credit, _: Balance | None) -> TakeBack:
    return TakeBack(command.account, command.amount_cents)


@step(within=seconds(1), retry=PATIENT, irreversible=True)
def raising_late(transfer: Transfer) -> GiveBack:
    raise LookupError(f"no such account: {transfer.target}")


@step(within=seconds(4), retry=HASTY)
def fetch(transfer: Transfer) -> Fetch:
    return Fetch(transfer.target)


@fetch.undo(within=seconds(1), retry=PATIENT)
def return_it(command: Fetch, _: Parcel | None) -> ReturnIt:
    return ReturnIt(command.account)


@step(within=seconds(1), retry=NEVER_TIRED, irreversible=True)
def knock(transfer: Transfer) -> Knock:
    return Knock(transfer.target)


@derive
def size(first: Parcel, second: Parcel, third: Parcel, fourth: Parcel, fifth: Parcel) -> Balance:
    parcels = (first, second, third, fourth, fifth)
    return Balance(sum(len(parcel.content) for parcel in parcels))


def announcements(transfer: Later[Transfer]) -> list[Any]:
    return [announce.named(f"announce_{n}")(transfer) for n in range(FAN_COUNT)]


@saga(version=1, deadline=minutes(10))
def brittle(flow: Flow, transfer: Later[Transfer]) -> None:
    """Its second step can never be made."""
    flow.do(debit(transfer))
    flow.do(raising(transfer))


@saga(version=1, deadline=minutes(10))
def broken(flow: Flow, transfer: Later[Transfer]) -> None:
    """Its step of no return can never be made."""
    flow.do(debit(transfer))
    flow.pivot(credit(transfer))
    flow.do(raising_late(transfer))


@saga(version=1, deadline=minutes(10))
def swelling(flow: Flow, transfer: Later[Transfer]) -> Later[Balance]:
    """What it is given is more than it can carry."""
    flow.do(debit(transfer))
    first = flow.do(fetch.named("first")(transfer))
    second = flow.do(fetch.named("second")(transfer))
    third = flow.do(fetch.named("third")(transfer))
    fourth = flow.do(fetch.named("fourth")(transfer))
    fifth = flow.do(fetch.named("fifth")(transfer))
    return size(first, second, third, fourth, fifth)


@saga(version=1, deadline=minutes(10))
def endless(flow: Flow, transfer: Later[Transfer]) -> None:
    """Asks for ever, as fast as it may."""
    flow.do(knock(transfer))


@saga(version=1, deadline=minutes(10))
def wide(flow: Flow, transfer: Later[Transfer]) -> None:
    """Asks a great many things at once."""
    flow.parallel(*announcements(transfer))

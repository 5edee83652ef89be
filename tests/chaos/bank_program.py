"""The workload of the fault runs: a bank whose money must add up, whatever dies.

Accounts open with the same balance; only the change since is stored, so all changes sum up to zero.
Names say what an account is for: money is taken from `account-n`, given to `saving-n` (from which
nobody takes, so that a gift can always be taken back), and letters to `-closed` come back.
"""

from __future__ import annotations

from datetime import timedelta

from orchestrator import (
    Command,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    Retry,
    minutes,
    saga,
    seconds,
    step,
)
from orchestrator.participant import Transaction

bank = Participant("bank")
post = Participant("post")

OPENING_CENTS = 10_000


class Transfer(Payload):
    source: str
    target: str
    amount_cents: int


class Balance(Payload):
    cents: int


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


@Apologise.handler
def on_apologise(command: Apologise, tables: Transaction) -> Done:
    tables.add("letters", command.account, -1)
    return Done()


PATIENT = Retry.forever(first=timedelta(milliseconds=200), cap=seconds(1))
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


@saga(version=1, deadline=minutes(10))
def hurry(flow: Flow, transfer: Later[Transfer]) -> None:
    """Take at once or not at all: a silent bank turns the saga back without knowing."""
    flow.do(hasty_debit(transfer))
    flow.pivot(credit(transfer))

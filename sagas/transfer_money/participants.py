"""A bank. Every account opens with the same balance; the sum of all never changes."""

from __future__ import annotations

from orchestrator import Done
from orchestrator.participant import Transaction
from sagas.transfer_money.contracts import (
    AccountClosed,
    Credit,
    Credited,
    Debit,
    Debited,
    GiveBack,
    InsufficientFunds,
)

OPENING_CENTS = 10_000


def balance_cents(tables: Transaction, account: str) -> int:
    """What an account holds. Only the change since its opening is stored."""
    return OPENING_CENTS + tables.number("changes", account)


@Debit.handler
def on_debit(command: Debit, tables: Transaction) -> Debited | InsufficientFunds:
    """Take money while there is some."""
    balance = balance_cents(tables, command.account)
    if balance < command.amount_cents:
        return InsufficientFunds(balance)
    return Debited(OPENING_CENTS + tables.add("changes", command.account, -command.amount_cents))


@GiveBack.handler
def on_give_back(command: GiveBack, tables: Transaction) -> Done:
    """Put the money of a debit back."""
    tables.add("changes", command.account, command.amount_cents)
    return Done()


@Credit.handler
def on_credit(command: Credit, tables: Transaction) -> Credited | AccountClosed:
    """Put money in, unless the account is closed (its name says so)."""
    if command.account.endswith("-closed"):
        return AccountClosed(command.account)
    return Credited(OPENING_CENTS + tables.add("changes", command.account, command.amount_cents))

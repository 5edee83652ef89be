"""What the transfer saga and the bank have agreed on. Amounts are whole cents."""

from __future__ import annotations

from orchestrator import Command, Done, Participant, Payload

bank = Participant("bank")


class Transfer(Payload):
    """Move `amount_cents` from one account to another."""

    source: str
    target: str
    amount_cents: int


class Debited(Payload):
    """The money has left the account."""

    balance_cents: int


class InsufficientFunds(Payload):
    """The account does not hold so much."""

    balance_cents: int


class Debit(Command[Debited, InsufficientFunds], to=bank):
    """Take money from an account."""

    account: str
    amount_cents: int


class GiveBack(Command[Done], to=bank):
    """Put the money of a debit back."""

    account: str
    amount_cents: int


class Credited(Payload):
    """The money has arrived."""

    balance_cents: int


class AccountClosed(Payload):
    """The account takes no money."""

    account: str


class Credit(Command[Credited, AccountClosed], to=bank):
    """Put money into an account."""

    account: str
    amount_cents: int

"""Debit, then credit; the credit is the point of no return."""

from __future__ import annotations

from orchestrator import Flow, Later, Retry, minutes, saga, seconds, step
from sagas.transfer_money.contracts import Credit, Debit, Debited, GiveBack, Transfer


@step(within=seconds(10), retry=Retry(attempts=5))
def debit(transfer: Transfer) -> Debit:
    """Take the money from the source."""
    return Debit(transfer.source, transfer.amount_cents)


@debit.undo(within=seconds(10))
def give_back(command: Debit, result: Debited | None) -> GiveBack:
    """Put the money back."""
    return GiveBack(command.account, command.amount_cents)


@step(within=seconds(10), retry=Retry.forever(), irreversible=True)
def credit(transfer: Transfer) -> Credit:
    """Put the money into the target."""
    return Credit(transfer.target, transfer.amount_cents)


@saga(version=1, deadline=minutes(10))
def transfer_money(flow: Flow, transfer: Later[Transfer]) -> None:
    """Move money from one account to another."""
    flow.do(debit(transfer))
    flow.pivot(credit(transfer))

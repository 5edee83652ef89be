# ruff: noqa: ARG001 - a step, an undo and a handler take what they are given
"""A user's program for the command line's tests: keep an item, then send it."""

from __future__ import annotations

import os

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

stock = Participant(os.environ.get("CLI_TEST_PARTICIPANT", "stock"))


class Order(Payload):
    item: str
    count: int
    note: str | None = None


class Kept(Payload):
    place: str


class Nothing(Payload):
    item: str


class Keep(Command[Kept, Nothing], to=stock):
    item: str
    count: int


class Free(Command[Done], to=stock):
    item: str


class Sent(Payload):
    parcel: str


class Send(Command[Sent], to=stock):
    item: str


@step(within=seconds(20))
def keep(order: Order) -> Keep:
    return Keep(order.item, order.count)


@keep.undo(within=seconds(20))
def free(command: Keep, result: Kept | None) -> Free:
    return Free(command.item)


@step(within=seconds(20), retry=Retry(attempts=1), irreversible=True)
def send(order: Order, kept: Kept) -> Send:
    return Send(order.item)


@derive
def parcel(sent: Sent) -> Sent:
    return sent


@saga(version=1, deadline=minutes(30))
def fulfil(flow: Flow, order: Later[Order]) -> Later[Sent]:
    """Keep the item, then send it."""
    kept = flow.do(keep(order))
    return parcel(flow.pivot(send(order, kept)))


@Keep.handler
def on_keep(command: Keep) -> Kept | Nothing:
    return Nothing(command.item) if command.item == "nothing" else Kept("shelf 7")


@Free.handler
def on_free(command: Free) -> Done:
    return Done()


@Send.handler
def on_send(command: Send) -> Sent:
    if command.item.startswith("piano"):
        raise RuntimeError("no van is large enough")
    return Sent(f"parcel of {command.item}")

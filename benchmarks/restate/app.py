"""The "trip" workload for Restate, as an ASGI app. Runs in the peer's own environment.

Each step is a durable call of the service `Participant`.
"""

import os
import time
from typing import Any

import restate

_log = os.open(os.environ["TRIP_EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

participant = restate.Service("Participant")
trip = restate.Service("Trip")


@participant.handler()
async def step(_: restate.Context, order: dict[str, Any]) -> dict[str, str]:
    """Execute one step; its effect is one line of a log that outlives the process."""
    saga, name = order["saga"], order["step"]
    if order["fail"]:
        raise restate.TerminalError("card declined", status_code=409)
    os.write(_log, f"{time.time():.6f} {saga} {name}\n".encode())
    confirmation = f"{name[:2].upper()}-0123456789ABCDEF"
    return {"step": name, "saga": saga, "confirmation": confirmation, "status": "ok"}


@trip.handler()
async def rpc(context: restate.Context, order: dict[str, Any]) -> str:
    """Reserve flight and hotel, charge the card; take back what was done if that is refused."""

    async def call(name: str, *, fail: bool) -> None:
        await context.service_call(step, {"saga": order["saga"], "step": name, "fail": fail})

    undo = []
    try:
        undo.append("undo_flight")
        await call("flight", fail=False)
        undo.append("undo_hotel")
        await call("hotel", fail=False)
        await call("card", fail=order["fail_card"])
    except restate.TerminalError:
        for name in reversed(undo):
            await call(name, fail=False)
        return "rolled_back"
    return "completed"


app = restate.app([trip, participant])

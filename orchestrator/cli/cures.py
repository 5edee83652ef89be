"""What to do about a refusal: the second line that a person sees, if there is anything to add."""

from __future__ import annotations

from orchestrator.errors import ConfigurationError, DefinitionError, OrchestratorError

_CURES: dict[str, str] = {
    "conflict": "`saga show ID` shows the saga that has this id; start yours under another.",
    "duplicate": "`saga show ID` shows where it stands.",
    "finished": "`saga show ID` says how it ended.",
    "unknown_saga": "`saga list` lists the sagas that there are.",
    "not_stuck": "`saga show ID` says which steps are stuck.",
    "result_needed": "Give it with `saga resolve ID STEP --result '{...}'`.",
    "past_pivot": "It can only go forward; `saga show ID` says where it stands.",
    "already_compensating": "`saga show ID` says how far it is.",
    "timed_out": "It goes on all the same; see where it stands with `saga show ID`.",
    "not_taken": "The command waits in its topic. Does a worker run (`saga worker`, `saga dev`)?",
    "unknown_version": "Run a worker with the version that the saga was started with.",
    "unknown_place": "`saga dead-letters` lists them.",
    "unknown_topic": "`saga topics create` makes the topics of a prefix.",
}
"""By reason; what is not here says in its text all there is to say."""


def cure_of(error: OrchestratorError) -> str:
    """Give what a person should do about an error; empty if the error's text says it."""
    reason = getattr(error, "reason", "")
    if reason in _CURES:
        return _CURES[reason]
    return "" if type(error) in _TOLD or reason else error.operator_action


_TOLD = (ConfigurationError, DefinitionError)
"""Their texts name the place and what is allowed. Whatever has a reason says it in its text too."""

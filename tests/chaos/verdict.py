"""What a run of faults has shown: the judgement of the runner. Pure: what was seen goes in, sentences
come out, and one sentence fails the run.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

WARM_SHARE_MAX = 0.25
"""Of a changelog: who takes a shard over from a warm copy reads less than this, as a rule one record."""
OWN_ENDS = frozenset({0, -signal.SIGKILL, -signal.SIGALRM, -signal.SIGTERM})
"""How a process ends that the runner has ended; two requests to stop are one SIGTERM."""


class Evidence(NamedTuple):
    """What the runner saw. Faults go by their names."""

    wanted: frozenset[str]
    """The faults that this run is about."""
    drawn: Mapping[str, int]
    """How often each was done."""
    caught: Mapping[str, int]
    """Frames that the rules of a fault have met at the proxy; without a rule it is not in here."""
    marked: Mapping[str, bool]
    """Whether a fault was seen to do what it is for; one without a mark is not in here."""
    acknowledged: int
    ended: int
    violations: Sequence[str]
    hung: Sequence[str]
    """Last words of workers that said nothing for too long."""
    halted: Sequence[str]
    """Why shards were halted."""
    idle: Sequence[int]
    """Shards that nobody ran although all was healed."""
    unused: Sequence[str]
    """Workers that had no shard although all was healed."""
    deaths: Mapping[str, Sequence[int]]
    """Exit codes, by process."""


def unshown(evidence: Evidence) -> dict[str, str]:
    """The faults that have tested nothing so far, and why."""
    found = {}
    for name in sorted(evidence.wanted):
        if not evidence.drawn.get(name):
            found[name] = "never drawn"
        elif not evidence.caught.get(name, 1):
            found[name] = "caught nothing"
        elif not evidence.marked.get(name, True):
            found[name] = "left no mark"
    return found


def failures(evidence: Evidence) -> list[str]:
    """Why the run has failed; empty: it has not."""
    found = [f"violation: {text}" for text in evidence.violations]
    found += [f"a worker hung: {text}" for text in evidence.hung]
    found += [f"a shard was halted: {text}" for text in evidence.halted]
    found += [f"shard {shard} is not run by anybody" for shard in evidence.idle]
    found += [f"{name} came back and runs no shard" for name in evidence.unused]
    for name, codes in sorted(evidence.deaths.items()):
        found += [f"{name} ended by itself, code {code}" for code in codes if code not in OWN_ENDS]
    if not evidence.acknowledged:
        found.append("no saga was started")
    elif evidence.ended < evidence.acknowledged:
        left = evidence.acknowledged - evidence.ended
        found.append(f"{left} of {evidence.acknowledged} sagas have not ended")
    found += [f"{name}: {why}" for name, why in unshown(evidence).items()]
    return found


def taken_warm(lines: Sequence[Mapping[str, object]], shards: Collection[int]) -> set[int]:
    """Which of these shards a worker took over from the copy of its standby, by its log since."""
    released, found = set(), set()
    for line in lines:
        shard = line.get("shard")
        if line["event"] == "copy_released":
            released.add(shard)
        elif line["event"] == "shard_running" and shard in released and shard in shards:
            if line["restored_count"] < WARM_SHARE_MAX * line["position"]:
                found.add(shard)
            released.discard(shard)
    return found

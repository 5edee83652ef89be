"""What keeps a shard from running, for whoever asks with `saga shards`: else only its worker's log says it.

A notice lies beside the positions of a group of which nobody is ever a member, as the progress of a
standby does. It names the member that left it: the words of a process that is gone do not count, so
nobody need take them back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

HELD, HALTED = "held", "halted"
SHOW_S = 1.0
"""How often a worker looks whether there is something to be told."""
_REPEAT_S = 10.0
"""A notice is left again after so long, as one that no broker took is no error."""
_TEXT_CHARS_MAX = 700
"""Of at most 4 bytes each: a broker takes 4,096 in all (`offset.metadata.max.bytes`)."""


class Notice(NamedTuple):
    """What a shard waits for."""

    state: str
    """HELD: it goes on by itself once that is mended. HALTED: a person must look."""
    reason: str
    text: str


def notice_group(instance_id: str) -> str:
    """The group beside whose positions an instance leaves notices."""
    return f"{instance_id}.notices"


def written(notice: Notice | None, member: str) -> str:
    """A notice as it is left by a member of the workers' group; empty if there is none."""
    if notice is None:
        return ""
    told = notice._replace(text=notice.text[:_TEXT_CHARS_MAX])._asdict()
    return json.dumps({"member": member, **told}, ensure_ascii=False)


def read(note: str, member: str) -> Notice | None:
    """The notice, if there is one and that member has left it."""
    try:
        told = json.loads(note or "{}")
        is_his = told.pop("member", None) == member
        return Notice(**told) if is_his else None
    except (AttributeError, TypeError, ValueError):  # a later version's, or a stranger's
        return None


class Notices:
    """The notices of one worker."""

    def __init__(
        self, leave: Callable[[Mapping[int, str]], None], monotonic_s: Callable[[], float]
    ) -> None:
        """`leave` puts notes down, by shard, and does not wait."""
        self._leave = leave
        self._monotonic_s = monotonic_s
        self._left: dict[int, Notice | None] = {}
        self._left_s = 0.0

    def show(self, waiting: Mapping[int, Notice], member: Callable[[], str]) -> None:
        """Leave notices of what shards wait for now, unless they lie there; take the others away."""
        now: dict[int, Notice | None] = {**dict.fromkeys(self._left), **waiting}
        now_s = self._monotonic_s()
        is_due = now_s - self._left_s >= _REPEAT_S
        if not now or (now == self._left and not is_due):
            return
        own = member()
        self._leave({shard: written(notice, own) for shard, notice in now.items()})
        self._left_s = now_s
        # What was taken away is taken away once more.
        self._left = now if not is_due else dict(waiting)

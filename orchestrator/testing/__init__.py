"""The published test kit: unit-test a saga without Kafka, participants or waiting.

`trial(book_trip.given(...))` runs a saga on the engine's own core in virtual time; `checkers` judges
what a run left in the topics.
"""

from __future__ import annotations

from orchestrator.testing.trial import Expect, Trial, trial

__all__ = ["Expect", "Trial", "trial"]

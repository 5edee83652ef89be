"""What the client library tells nobody but its log."""

from __future__ import annotations

import logging
from collections.abc import Callable

LOGGER = logging.getLogger("orchestrator.kafka")
"""Where the client library's own words go: nowhere, unless the program listens."""
LOGGER.addHandler(logging.NullHandler())


class Ear:
    """A logger for one client: passes its lines on, and remembers those that matter."""

    def __init__(self, matters: Callable[[str], bool]) -> None:
        """`matters` is given each line: `FACILITY [thread]: message`."""
        self._matters = matters
        self.heard: list[str] = []
        """Lines that matter."""

    def log(self, level: int, text: str, *arguments: object) -> None:
        """Take one line. The signature is the library's."""
        LOGGER.log(level, text, *arguments)
        line = text % arguments if arguments else text
        if self._matters(line):
            self.heard.append(line)

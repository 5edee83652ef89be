"""What a person sees while a cluster starts."""

import io

from orchestrator.local_kafka import Phase, Progress, shown_progress

STEPS = [
    *(Progress(Phase.DOWNLOAD, "a.jar", done * 1_000_000, 40_000_000) for done in range(41)),
    Progress(Phase.START, "node 1", 0, 1),
    Progress(Phase.START, "node 1", 0, 1),
    Progress(Phase.READY, "127.0.0.1:1", 1, 1),
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_file_gets_few_plain_lines():
    stream = io.StringIO()

    with shown_progress(stream) as on_progress:
        for step in STEPS:
            on_progress(step)

    assert stream.getvalue().splitlines() == [
        "Kafka: download 0/40 MB a.jar",
        "Kafka: download 10/40 MB a.jar",
        "Kafka: download 20/40 MB a.jar",
        "Kafka: download 30/40 MB a.jar",
        "Kafka: download 40/40 MB a.jar",
        "Kafka: start 0/1 node 1",
        "Kafka: ready 1/1 127.0.0.1:1",
    ]


def test_a_terminal_gets_bars_that_vanish():
    stream = Terminal()

    with shown_progress(stream) as on_progress:
        for step in STEPS:
            on_progress(step)

    assert "download" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()

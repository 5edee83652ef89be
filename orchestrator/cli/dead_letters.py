"""`saga dead-letters`: records that could not be obeyed, where they came from, and why."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit, Misused
from orchestrator.cli.tables import When
from orchestrator.cli.verb import Verb
from orchestrator.errors import NotFound

if TYPE_CHECKING:
    from orchestrator.codec.envelope import Origin
    from orchestrator.codec.records import DeadLetter

_PLACE = re.compile(r"(?:(?P<topic>[A-Za-z0-9._-]+)/)?(?P<partition>\d+)/(?P<offset>\d+)")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "place",
        metavar="PLACE",
        nargs="?",
        default=None,
        help="show one with its bytes, by the place that the list gives: [TOPIC/]PARTITION/OFFSET",
    )
    parser.add_argument("--reason", metavar="CODE", default="", help="only of this reason")
    parser.add_argument("--key", metavar="ID", default="", help="only with this key (saga id)")
    parser.add_argument(
        "--limit", type=int, metavar="N", default=20, help="list so many, the newest (default 20)"
    )


def _run(context: Context, options: Namespace) -> Exit:
    if options.place is not None:
        return _show(context, options.place)
    groups: dict[str, dict[str, Any]] = {}
    found: list[tuple[Origin, DeadLetter]] = []
    for origin, letter in _letters(context):
        if options.reason and letter.reason != options.reason:
            continue
        if options.key and (letter.key or b"").decode("utf-8", "replace") != options.key:
            continue
        _count(groups, letter)
        found.append((origin, letter))
    found.sort(key=lambda entry: entry[1].at_ms)
    newest = found[-options.limit :] if options.limit else found
    context.out.document(
        {
            "groups": sorted(groups.values(), key=lambda group: -group["count"]),
            "count": len(found),
            "letters": [_summary(context, origin, letter) for origin, letter in newest],
        }
    )
    if not context.out.json:
        _list(context, groups, newest, len(found))
    return Exit.OK


def _letters(context: Context) -> Iterator[tuple[Origin, DeadLetter]]:
    log = context.log
    spans = [
        (topic, shard, log.span(topic, shard))
        for topic in _topics(context)
        for shard in range(log.partitions_of(topic))
    ]
    total = sum(span.width for _, _, span in spans)
    with context.out.progress("reading dead letters", total) as on_count:
        for topic, shard, span in spans:
            for envelope in log.records(topic, shard, span, on_count):
                yield envelope.origin, context.codec.decode_dead_letter(envelope.value or b"")


def _topics(context: Context) -> list[str]:
    """Give the workers' topic, and those of the participants in the program at hand."""
    participants = context.known_program.participants if context.known_program else ()
    theirs = [context.topics.participant_dead_letters(name) for name in participants]
    return [context.topics.dead_letters, *sorted(context.admin.topics(theirs))]


def _count(groups: dict[str, dict[str, Any]], letter: DeadLetter) -> None:
    from orchestrator.cli.views import instant

    at = instant(letter.at_ms)
    group = groups.setdefault(
        letter.reason,
        {"reason": letter.reason, "count": 0, "first_at": at, "last_at": at, "text": letter.text},
    )
    group["count"] += 1
    group["first_at"] = min(group["first_at"] or "", at or "")
    if (at or "") >= (group["last_at"] or ""):
        group["last_at"], group["text"] = at, letter.text


def _when(text: str | None) -> When:
    from orchestrator.cli.views import parse_instant

    return When(parse_instant(text) if text else 0)


def _summary(context: Context, at: Origin, letter: DeadLetter) -> dict[str, Any]:
    from orchestrator.cli.views import instant, origin_json, place

    own = at.topic == context.topics.dead_letters
    return {
        "place": f"{at.partition}/{at.offset}" if own else place(at),
        "reason": letter.reason,
        "text": letter.text,
        "at": instant(letter.at_ms),
        "key": None if letter.key is None else letter.key.decode("utf-8", "replace"),
        "origin": origin_json(letter.origin),
        "value_bytes": None if letter.value is None else len(letter.value),
        "worker": letter.worker,
    }


def _list(
    context: Context,
    groups: dict[str, dict[str, Any]],
    newest: list[tuple[Origin, DeadLetter]],
    count: int,
) -> None:
    out = context.out
    if not count:
        out.line("No dead letters.")
        return
    out.table(
        ("reason", "count", "first", "last", "the last one says"),
        (
            (g["reason"], g["count"], _when(g["first_at"]), _when(g["last_at"]), g["text"])
            for g in sorted(groups.values(), key=lambda group: -group["count"])
        ),
    )
    out.line()
    rows = [_summary(context, place, letter) for place, letter in newest]
    out.table(
        ("place", "time", "reason", "key", "origin", "text"),
        (
            (
                row["place"],
                _when(row["at"]),
                row["reason"],
                row["key"] or "",
                "{topic}/{partition}/{offset}".format_map(row["origin"]),
                row["text"],
            )
            for row in rows
        ),
        drop=("origin",),
    )
    out.line()
    out.line(f"{len(rows)} of {count}. `saga dead-letters PLACE` shows one with its bytes.")


def _show(context: Context, text: str) -> Exit:
    from orchestrator.audit.reading import Span
    from orchestrator.cli.views import bytes_json, hex_lines, instant, place

    match = _PLACE.fullmatch(text)
    if match is None:
        raise Misused("bad_place", f"{text!r} is no PARTITION/OFFSET")
    topic = match["topic"] or context.topics.dead_letters
    partition, offset = int(match["partition"]), int(match["offset"])
    log = context.log
    span = Span(offset, offset + 1)
    inside = partition < log.partitions_of(topic) and offset < log.span(topic, partition).end
    records = list(log.records(topic, partition, span)) if inside else []
    if not records:
        raise NotFound("unknown_place", f"{topic}/{partition} has no record at offset {offset}")
    envelope = records[0]
    letter = context.codec.decode_dead_letter(envelope.value or b"")
    context.out.document(
        {
            **_summary(context, envelope.origin, letter),
            "key_bytes": bytes_json(letter.key),
            "value": bytes_json(letter.value),
            "headers": [[name, bytes_json(value)] for name, value in letter.headers],
            "timestamp": instant(letter.timestamp_ms),
        }
    )
    out = context.out
    out.line(f"{letter.reason}: {letter.text}")
    out.table(
        ("what", "is"),
        [
            ("came from", place(letter.origin)),
            ("sent", instant(letter.timestamp_ms) or ""),
            ("refused", f"{instant(letter.at_ms)} by {letter.worker}"),
            ("key", repr(letter.key)),
            *((f"header {name}", repr(value)) for name, value in letter.headers),
        ],
    )
    out.line()
    for line in hex_lines(letter.value or b""):
        out.line(line)
    return Exit.OK


VERB = Verb(
    name="dead-letters",
    help="List records that could not be obeyed, grouped by reason, or show one with its bytes.",
    detail="Reads the dead letters of workers and of your modules' participants; needs no worker.",
    example="saga dead-letters --reason unknown_definition",
    arguments=_arguments,
    run=_run,
)

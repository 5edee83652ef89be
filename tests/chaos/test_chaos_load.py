"""M56, M57, M59: some participants are slow or dead, some sagas are poison, some shards have it all.

Who has no part in it goes on. How fast is written down, not asserted.
"""

from __future__ import annotations

from statistics import median

import pytest
from town import Town, wait_until

from orchestrator.kafka.base import Position
from orchestrator.testing.frame_proxy import Api

NEIGHBOURS_COUNT = 300
CROWD_COUNT = 1_500
ROUNDS_COUNT = 5
POISON = ["b-never", "k-stuck", "w-back", "e-never", "f-ok"]
"""A step that cannot be made; one after the point of no return; a state that is too large; a question
without an answer, asked for ever; four hundred steps at once. Those that never end are cancelled."""


def latency_ms(town, sagas, share):
    """How long so large a share of these sagas took at most."""
    took = sorted(town.ended[saga].ended_ms - town.ended[saga].started_ms for saga in sagas)
    return took[int(share * (len(took) - 1))]


def pace(town, record_property, name):
    """Let sagas of two steps at the bank alone run through; note how long they took."""
    neighbours = town.begin(NEIGHBOURS_COUNT, ["m-ok"])
    town.wait_these(neighbours)
    for share in (0.5, 0.99):
        record_property(f"{name}, p{share * 100:.0f} ms", latency_ms(town, neighbours, share))


def rate(town, record_property, name):
    """Let many such sagas run through, begun at once; note how many ended a second (median)."""
    rounds = []
    for _ in range(ROUNDS_COUNT):
        crowd = town.begin(CROWD_COUNT, ["m-ok"])
        town.wait_these(crowd)
        times = [town.ended[saga] for saga in crowd]
        took_ms = max(t.ended_ms for t in times) - min(t.started_ms for t in times)
        rounds.append(CROWD_COUNT / took_ms * 1_000)
    record_property(f"{name}, sagas/s", round(median(rounds)))


def written(town, topic):
    """How many records a topic has."""
    return sum(town.admin.end_offsets(town.places(topic)).values())


def test_a_participant_that_is_slow_and_then_dead_keeps_its_own_sagas_waiting(
    town, proxy, record_property
):
    town.worker()
    town.post.kill()
    slow_post = town.participant("post", proxied=True)
    pace(town, record_property, "warm")
    pace(town, record_property, "alone")

    name = next(each for each in town.participants if each.startswith("post"))
    slow = proxy.delay(Api.PRODUCE, by_ms=3_000, client=f"{name}-replies", count=None)
    waiting = town.begin(200, ["s-ok"])
    slow.wait()
    pace(town, record_property, "beside a slow one")
    slow_post.freeze()
    waiting += town.begin(200, ["s-ok"])
    asked = town.topics.participant_commands(name)
    wait_until(lambda: written(town, asked) > 400, "letters that nobody writes")
    pace(town, record_property, "beside a dead one")

    assert set(waiting) - town.ended.keys()
    slow_post.kill()
    town.participant("post")
    town.wait_ended()
    town.check()


def test_poison_harms_nobody_but_itself(town, record_property):
    worker = town.worker()
    rate(town, record_property, "warm")
    pace(town, record_property, "alone")
    rate(town, record_property, "alone")

    poison = town.begin(20 * len(POISON), POISON)
    pace(town, record_property, "beside poison")
    town.wait_these((saga for saga in poison if saga[0] in "fw"), patience_s=100)
    pace(town, record_property, "beside poison that stays")
    rate(town, record_property, "beside poison that stays")

    open_ended = [saga for saga in poison if saga.endswith("-never")]
    assert not set(open_ended) & town.ended.keys()
    for saga in open_ended:
        town.client.cancel(saga, actor="test")
    town.wait_these((saga for saga in poison if not saga.startswith("k")), patience_s=100)
    pace(town, record_property, "after it")
    rate(town, record_property, "after it")
    healthy = town.begin(20 * town.space.FAN_COUNT // town.space.ROUND_COUNT, ["i-ok"])
    pace(town, record_property, "beside as many steps of healthy sagas")
    town.wait_these(healthy, patience_s=100)
    bad = too_large(town)
    assert set(bad.values()) == {saga for saga in poison if saga.startswith("w")}

    assert worker.code is None
    town.check(bad=dict.fromkeys(bad, "too_large_effect"))
    states = town.history.states()
    assert all(states[saga].stuck for saga in poison if saga.startswith("k"))


def too_large(town):
    """The inputs that were refused for what they would have written, with their sagas."""
    found = {}
    for place, end in town.admin.end_offsets(town.places(town.topics.dead_letters)).items():
        for batch in town.reader.read(Position(*place, 0), end):
            for envelope in batch:
                letter = town.codec.decode_dead_letter(envelope.value)
                found[letter.origin] = envelope.key.decode()
    return found


@pytest.fixture
def two(broker, topic_prefix, tmp_path):
    """An installation of two workers that keep but few sagas in memory."""
    with Town(broker, topic_prefix, tmp_path) as made:
        made.open_shop()
        made.crew = [made.worker(n, settings={"cache_count_max": 20}) for n in (0, 1)]
        wait_until(lambda: all(worker.shards() for worker in made.crew), "a shard each")
        yield made


def test_a_shard_that_has_it_all_and_a_saga_that_all_want(two, record_property):
    pace(two, record_property, "alone")
    two.bank.freeze()
    crowd = two.begin(1_800, shard=0)
    (hot,) = two.begin(1, ["m-ok"], shard=0)
    for _ in range(300):
        two.begin_again(hot)
    few = two.begin(200, shard=1)
    two.bank.kill()
    two.bank = two.participant("bank")

    two.wait_these(few)
    record_property("open on the other shard when the few had ended", open_of(two, crowd))
    two.wait_ended(patience_s=100)

    assert all(worker.code is None for worker in two.crew)
    two.check()


def open_of(town, sagas):
    """How many of these have not ended."""
    return len(set(sagas) - town.ended.keys())

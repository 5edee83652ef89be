"""The order in which a transaction's records are handed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec.envelope import Record
from orchestrator.runtime.transaction import places_first

PLACES = st.tuples(st.sampled_from("abc"), st.integers(0, 2))


@given(places=st.lists(PLACES))
def test_every_partition_is_begun_before_any_goes_on_and_keeps_its_order(places):
    records = [
        Record(topic, partition, b"", b"%d" % number)
        for number, (topic, partition) in enumerate(places)
    ]

    sent = places_first(records)

    assert {record[:2] for record in sent[: len(set(places))]} == set(places)
    for place in set(places):
        own = [record for record in records if record[:2] == place]
        assert [record for record in sent if record[:2] == place] == own
    assert len(sent) == len(records)

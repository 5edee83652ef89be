from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kafka.partitioner import murmur2, partition


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_as_java_does(key, signed):
    assert murmur2(key) == signed % 2**32


@given(st.binary(max_size=200), st.integers(1, 1_000))
def test_every_key_has_a_partition(key, partitions):
    assert 0 <= partition(key, partitions) < partitions
    assert 0 <= murmur2(key) < 2**32

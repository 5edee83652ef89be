"""M33: how much of the rate is left far from the brokers, and when packets get lost on the way.

Worker and participants live behind a road to three brokers; who starts and judges sagas does not.
"""

from __future__ import annotations

import pytest
import traffic
from road import Road, is_possible
from town import Town

from orchestrator.local_kafka import LocalKafka
from orchestrator.testing.frame_proxy import FrameProxy

IN_FLIGHT_COUNT = 20_000
"""Waiting is what a distance costs, so enough must wait: with one at a time none of it is hidden."""
LEAST_SHARE = 0.5
"""Of the rate beside the brokers: the bar of M33."""
PATIENCE_S = 180
"""Far away and with losses a fifth of the rate is left at times."""
LOSS = 0.01
DISTANCE_MS = 100


class FarTown(Town):
    """A town with money for as many sagas, and with steps that have time for the way."""

    opening_cents = 10_000_000

    def _write_program(self):
        path = super()._write_program()
        text = path.read_text()
        assert "within=seconds(1)" in text
        path.write_text(text.replace("within=seconds(1)", "within=seconds(60)"))
        return path


@pytest.fixture
def road():
    """The only way between the brokers and those behind it."""
    if not is_possible():
        pytest.skip("a road needs root, ip (iproute2) and /dev/net/tun")
    with Road() as built:
        yield built


@pytest.fixture
def outpost(road, topic_prefix, tmp_path):
    """An installation behind the road."""
    with (
        FrameProxy(road.near) as gate,
        LocalKafka(3, advertised=gate.route) as kafka,
        FarTown(kafka, topic_prefix, tmp_path, partitions=4, profile="production") as made,
    ):
        made.road = road.leading
        for name in ("bank", "post"):
            made.participant(name, proxied=True)
        made.worker(proxied=True).wait_logged("worker_ready")
        yield made


@pytest.mark.timeout(900)
def test_half_of_the_rate_is_left_far_away_and_when_packets_get_lost(
    outpost, road, record_property
):
    def rate(name, **quality):
        road.set(**quality)
        per_s = traffic.rate(outpost, IN_FLIGHT_COUNT, PATIENCE_S)
        record_property(f"{name}_per_s", per_s)
        return per_s

    traffic.keep_in_flight(outpost, IN_FLIGHT_COUNT, PATIENCE_S)  # warm
    near = rate("near")
    lossy = rate("lossy", loss=LOSS)
    assert min(road.set()) > 0  # packets came, and some were lost
    far = rate("far", delay_ms=DISTANCE_MS)
    rate("far_and_lossy", delay_ms=DISTANCE_MS, loss=LOSS)
    road.set()

    outpost.wait_ended()
    outpost.check()
    assert lossy >= LEAST_SHARE * near
    assert far >= LEAST_SHARE * near

"""A worker that is told to stop while its broker owes it an answer does not wait for that."""

from __future__ import annotations

import signal

import pytest

from orchestrator.testing.frame_proxy import Api, Direction


@pytest.mark.parametrize("api", [Api.LIST_OFFSETS, Api.TXN_OFFSET_COMMIT, Api.END_TXN])
def test_a_stop_is_cut_short_in_the_middle_of_a_question(town, proxy, api):
    client = "saga-admin" if api is Api.LIST_OFFSETS else town.prefix
    held = proxy.hold(api, Direction.RESPONSE, client=client, count=None)
    worker = town.worker(proxied=True)
    town.begin(12)
    held.wait()

    worker.signal(signal.SIGTERM)

    assert worker.died() == 0
    assert worker.lines("stop_cut_short")
    proxy.clear()
    town.worker(proxied=True)
    town.wait_ended()
    town.check()

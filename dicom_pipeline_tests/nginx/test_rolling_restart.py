"""Receivers restarted one after the other under load: senders lose nothing, and may all retry."""

import pytest

from dicom_pipeline.messages import FAN_OUT, LOG_QUEUE
from dicom_pipeline_tests.nginx.receivers import drained, two_receivers
from dicom_pipeline_tests.receiver.load import Load
from dicom_pipeline_tests.receiver.promises import require_kept
from dicom_pipeline_tests.services.nginx import running_nginx

pytestmark = pytest.mark.service

RETRIED = {
    "PDU of type 7",  # A-ABORT, between two objects
    "closed by the receiver",
    "[Errno 104] Connection reset by peer",
    "[Errno 32] Broken pipe",
}
"""How an association may end: a sender cannot take any of these for a refusal."""
RECEIPTS = 60
"""That must be made between two steps: the load goes on."""


def test_a_rolling_restart_loses_nothing_and_refuses_nothing(tmp_path):
    with (
        running_nginx(NGINX_DICOM_BALANCE="least_conn") as nginx,
        two_receivers(nginx, tmp_path) as receivers,
    ):
        load = Load(1)
        load.port = nginx.dicom_port
        with load.running():
            for number in range(2):
                load.wait_for(RECEIPTS, seconds=20)
                with drained(nginx, receivers, number):
                    assert receivers.stop(number) == 0
                    load.wait_for(RECEIPTS, seconds=20)
                    receivers.start(number)
            load.wait_for(RECEIPTS, seconds=20)
            assert receivers.stop(0) == 0  # as it would be without the care
            load.wait_for(RECEIPTS, seconds=20)
            receivers.start(0)
        for number in range(2):
            assert receivers.stop(number) == 0
        events = {topic: receivers.published(topic) for topic in FAN_OUT}
        assert load.refused == {}
        assert load.ended.keys() <= RETRIED
        assert load.acknowledged.total() >= 6 * RECEIPTS
        assert {event.worker_node_id for event in events[LOG_QUEUE]} == {"node-0", "node-1"}
        require_kept(nginx.storage, events, load.acknowledged, load.sent)

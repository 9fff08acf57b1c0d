"""Kafka, MariaDB and Redis go away in the middle of a flow of objects, and come back."""

import time
import uuid
from contextlib import ExitStack
from itertools import count

import pytest

from dicom_pipeline.demo.accounting import missing
from dicom_pipeline.errors import TransientError
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.site import NODES, LagWatch, site_with_ticker, wait_until

OBJECTS_PER_SECOND = 2
SHORT_SECONDS = 10
LONG_SECONDS = 60
ACCEPTED_MEANWHILE = 3
"""Objects that each receiver must take during an outage, however short."""
ACCEPT_SECONDS = 60
RECOVER_SECONDS = 300

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


class FlowOfObjects:
    """Two modalities that send without a pause to one receiver each, and an eye on the lag."""

    def __init__(self, site, ticker, servers):
        self.site = site
        self.ticker = ticker
        self.servers = servers
        self.modalities = [
            site.modality(node, self.images(n), per_second=OBJECTS_PER_SECOND)
            for n, node in enumerate(NODES)
        ]
        self.watch = LagWatch(site, self.acknowledged)
        self.watch.start()

    @staticmethod
    def images(sender):
        for number in count(10_000 * sender):
            yield an_image(number, SeriesInstanceUID=f"1.2.3.{number % 3}")

    def acknowledged(self):
        return [one for modality in self.modalities for one in list(modality.acknowledged)]

    def outage(self, names, how, seconds):
        """The servers are away for so long, while both receivers go on accepting."""
        before = [len(modality.acknowledged) for modality in self.modalities]
        for name in names:
            getattr(self.servers[name], how)()
        ended = time.monotonic() + seconds
        for modality, number in zip(self.modalities, before, strict=True):
            wait_until(
                lambda m=modality, n=number: len(m.acknowledged) >= n + ACCEPTED_MEANWHILE,
                ACCEPT_SECONDS,
                f"the receiver accepts while {names} is away",
            )
        time.sleep(max(0.0, ended - time.monotonic()))
        for name in names:
            self.servers[name].start()

    def require_recovery(self):
        """All that was acknowledged until now is stored, indexed and decided in the end."""
        acknowledged = self.acknowledged()
        wait_until(
            lambda: self.lacking(acknowledged) == [], RECOVER_SECONDS, "everything is processed"
        )

    def lacking(self, acknowledged):
        try:
            return missing(self.site.settings, acknowledged)
        except TransientError as error:
            return [str(error)]

    def end(self):
        for modality in self.modalities:
            modality.end()


@pytest.fixture(scope="module")
def flow(kafka_broker, mariadb, redis_server, tmp_path_factory):
    servers = {"Kafka": kafka_broker, "MariaDB": mariadb, "Redis": redis_server}
    if not kafka_broker.running():
        kafka_broker.start()
    prefix = f"outages-{uuid.uuid4().hex[:8]}."
    with ExitStack() as undo:
        (site, ticker) = undo.enter_context(
            site_with_ticker(
                tmp_path_factory.mktemp("site"),
                event_log_url=f"{kafka_broker.url(prefix)}&timeout_seconds=3",
                catalog_url=undo.enter_context(mariadb.fresh_database()),
                cache_url=redis_server.fresh_url(),
                stream_max_attempts=2,
            )
        )
        flow = FlowOfObjects(site, ticker, servers)
        undo.callback(flow.end)
        yield flow


def test_systems_that_go_one_after_another_cost_time_and_no_object(flow):
    for name, how in {"Kafka": "kill", "MariaDB": "stop", "Redis": "kill"}.items():
        flow.outage([name], how, SHORT_SECONDS)
    flow.require_recovery()


def test_a_minute_without_any_system_costs_time_and_no_object(flow):
    flow.outage(list(flow.servers), "kill", LONG_SECONDS)
    flow.require_recovery()


def test_in_the_end_all_is_done_exactly_once_and_lag_was_never_0_before(flow):
    flow.end()
    flow.site.wait_until_caught_up(RECOVER_SECONDS)
    flow.watch.end()
    assert flow.watch.refused, "systems were away"
    assert flow.ticker.failed_ticks
    assert flow.ticker.errors == []
    assert len(flow.acknowledged()) > LONG_SECONDS
    flow.site.require_exactly_once(flow.acknowledged())

"""The main job on Kafka, MariaDB, Redis and the double of Doris, which reads a queue by itself.

With three partitions a topic and two receivers.
"""

import uuid
from contextlib import ExitStack

import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import INDEX_QUEUE
from dicom_pipeline.stages import OBJECT_META, STAGES
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.dagster_ui import re_execute, runs, statuses_at_the_end
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import dump_tables
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.site import (
    CATCH_UP_SECONDS,
    NODES,
    PARTITIONS,
    LagWatch,
    site_with_dagster,
    wait_until,
)

OBJECTS = 30
"""From each modality."""

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(kafka_broker, mariadb, redis_server, tmp_path_factory):
    if not kafka_broker.running():
        kafka_broker.start()
    with ExitStack() as undo:
        doris = undo.enter_context(DorisDouble())
        (site, stack) = undo.enter_context(
            site_with_dagster(
                tmp_path_factory.mktemp("site"),
                event_log_url=kafka_broker.url(f"site-{uuid.uuid4().hex[:8]}."),
                catalog_url=undo.enter_context(mariadb.fresh_database()),
                warehouse_url=doris.url(doris.new_database(), max_batch_interval=1),
                cache_url=redis_server.fresh_url(),
            )
        )
        site.stack = stack
        yield site


def images(sender, objects=OBJECTS):
    """Slices of a few series; every tenth UID comes from the other sender too, with other bytes."""
    for number in range(objects):
        seed = number if number % 10 == 0 else 1000 * (sender + 1) + number
        yield an_image(seed, SeriesInstanceUID=f"1.2.3.{number % 5}", InstanceNumber=sender)


@pytest.fixture(scope="module")
def acknowledged(site):
    """Everything that two modalities have sent to one receiver each, and the site has done."""
    modalities = [site.modality(node, images(n), per_second=20) for n, node in enumerate(NODES)]
    watch = LagWatch(site, lambda: [one for m in modalities for one in list(m.acknowledged)])
    watch.start()
    for modality in modalities:
        modality.join(120)
        assert not modality.is_alive()
    site.wait_until_caught_up(CATCH_UP_SECONDS)
    watch.end()
    return [one for modality in modalities for one in modality.acknowledged]


def tables(site):
    with open_catalog(site.settings) as catalog, open_warehouse(site.settings) as warehouse:
        return dump_tables(catalog, warehouse)


def column(site, sql):
    with open_catalog(site.settings) as catalog:
        return [row["value"] for row in catalog.query(sql)]


def test_every_object_of_both_receivers_is_stored_indexed_and_decided_exactly_once(
    site, acknowledged
):
    assert len(acknowledged) == 2 * OBJECTS
    site.require_exactly_once(acknowledged)
    nodes = column(site, "SELECT DISTINCT worker_node_id AS value FROM storage_record")
    assert set(nodes) == set(NODES)
    with open_event_log(site.settings) as log:
        marks = log.watermarks(INDEX_QUEUE)
        assert len(marks) == PARTITIONS
        assert all(high for _, high in marks.values())


def test_no_embedded_system_is_in_use(site, acknowledged):
    assert acknowledged
    homes = [site.settings.home, *site.homes.values()]
    files = {path.name for home in homes for path in home.iterdir()}
    assert files.isdisjoint({"events.db", "catalog.db", "warehouse.db"})


def test_lag_is_zero_once_everything_is_done(site, acknowledged):
    assert acknowledged
    assert not any(site.left().values())
    wait_until(lambda: site.lag() == 0)  # the ledgers are brought forward at the next tick


def test_a_range_that_is_replayed_through_dagster_changes_nothing(site, acknowledged):
    assert acknowledged
    before = tables(site)
    of_each_job = {run["pipelineName"]: run["runId"] for run in runs(site.stack)}
    by_runs = [stage for stage in STAGES if stage is not OBJECT_META]  # that one Doris reads
    replayed = [of_each_job[stage.job_name] for stage in by_runs]
    for run in replayed:
        re_execute(site.stack, run)
    assert statuses_at_the_end(site.stack, CATCH_UP_SECONDS) == {"SUCCESS"}
    site.wait_until_caught_up(CATCH_UP_SECONDS)
    assert tables(site) == before

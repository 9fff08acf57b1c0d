"""Every answer to a load, and everything that breaks on the way: no row lost, none twice."""

import re
from dataclasses import replace

import pytest

from dicom_pipeline.errors import TransientError
from dicom_pipeline.warehouse import CONVERSION_RECORD, IMAGE, OBJECT_META, PATIENT
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline_tests.services.doris import faults
from dicom_pipeline_tests.services.doris.labels import ABORTED, FINISHED, PRECOMMITTED, RUNNING
from dicom_pipeline_tests.warehouse.clusters import fresh_warehouse, held, images
from dicom_pipeline_tests.warehouse.samples import row_of

pytestmark = pytest.mark.service


@pytest.fixture
def warehouse(doris):
    return doris


def labels(warehouse, cluster):
    return list(cluster.labels(warehouse.options.database))


# Labels


def test_a_repeated_load_is_done_once(warehouse, cluster):
    for _ in range(3):
        assert warehouse.load(IMAGE, images(), "dicom_image:topic:0:0-2") == 3
    assert [rows for _, rows in cluster.loads] == [3]


def test_the_same_range_with_other_rows_is_loaded_under_another_label(warehouse, cluster):
    warehouse.load(IMAGE, images(image_comments="before the repair"), "range")
    warehouse.load(IMAGE, images(image_comments="after it"), "range")
    assert len(cluster.loads) == 2
    assert warehouse.query(f"SELECT DISTINCT image_comments AS c FROM {IMAGE}") == [
        {"c": "after it"}
    ]


def test_a_label_is_readable_and_of_the_allowed_form_whatever_names_the_load(warehouse, cluster):
    warehouse.load(IMAGE, images(), f"{IMAGE}:BXoQ=:0:10-19/3 影像 {'x' * 200}")
    warehouse.load(OBJECT_META, [row_of(OBJECT_META)], "BXoQ:0:10-19")
    first, second = labels(warehouse, cluster)
    assert first.startswith("dicom_image:BXoQ_:0:10-19_3____xxx")
    assert second.startswith("dicom_object_meta:BXoQ:0:10-19-")
    assert all(re.fullmatch(r"[-_A-Za-z0-9:]{1,128}", label) for label in (first, second))


def test_another_generation_loads_again_what_its_label_would_be_taken_for(cluster):
    with fresh_warehouse(cluster) as warehouse:
        warehouse.load(IMAGE, images(1), "range")
        url = cluster.url(warehouse.options.database, generation=2)
        cluster.loads.clear()
        with DorisWarehouse(url) as again:
            again.load(IMAGE, images(1), "range")
            again.load(IMAGE, images(1), "range")
        assert [rows for _, rows in cluster.loads] == [1]


def test_equal_rows_of_two_tables_or_ranges_do_not_share_a_label(warehouse, cluster):
    row = row_of(PATIENT)
    warehouse.load(PATIENT, [row], "a")
    warehouse.load(PATIENT, [row], "b")
    warehouse.load(IMAGE, images(1), "a")
    assert len(set(labels(warehouse, cluster))) == 3


def test_a_label_that_is_finished_counts_as_loaded(warehouse, cluster):
    cluster.faults.add(faults.LOSE_ANSWER)
    warehouse.load(IMAGE, images(), "range")
    assert [rows for _, rows in cluster.loads] == [3]
    assert held(warehouse) == 3


@pytest.mark.parametrize("status", [RUNNING, PRECOMMITTED])
def test_a_label_that_is_not_finished_is_waited_for(warehouse, cluster, status):
    warehouse.load(IMAGE, images(), "range")
    (label,) = labels(warehouse, cluster)
    transaction = cluster.labels(warehouse.options.database)[label]
    transaction.status = status
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            transaction.status = FINISHED

    warehouse._loader = replace(warehouse._loader, sleep=sleep)
    warehouse.load(IMAGE, images(), "range")
    assert len(pauses) == 3
    assert pauses == sorted(pauses)
    assert len(cluster.loads) == 1


def test_a_label_that_never_finishes_is_a_matter_for_later(cluster):
    with fresh_warehouse(cluster, load_seconds=1) as warehouse:
        warehouse.load(IMAGE, images(), "range")
        (label,) = labels(warehouse, cluster)
        cluster.labels(warehouse.options.database)[label].status = PRECOMMITTED
        with pytest.raises(TransientError, match=r"its label is there.* PRECOMMITTED"):
            warehouse.load(IMAGE, images(), "range")


def test_a_label_of_an_aborted_load_is_used_again(warehouse, cluster):
    warehouse.load(IMAGE, images(), "range")
    (label,) = labels(warehouse, cluster)
    cluster.labels(warehouse.options.database)[label].status = ABORTED
    warehouse.load(IMAGE, images(), "range")
    assert [loaded for loaded, _ in cluster.loads] == [label, label]


def test_a_load_is_strict_takes_all_or_nothing_and_knows_no_zone_but_utc(warehouse, cluster):
    warehouse.load(IMAGE, images(1), "range")
    for _, headers in cluster.asked:
        assert (headers["strict_mode"], headers["max_filter_ratio"]) == ("true", "0")
        assert (headers["format"], headers["timezone"]) == ("json", "UTC")
        assert headers["label"].startswith("dicom_image:range-")


# What breaks


def test_a_load_whose_publication_timed_out_is_done(warehouse, cluster):
    cluster.faults.add(faults.PUBLISH_TIMEOUT)
    warehouse.load(IMAGE, images(), "range")
    assert len(cluster.loads) == 1


def test_a_backend_that_dies_in_the_middle_of_a_load_is_replaced_by_another(warehouse, cluster):
    cluster.faults.add(faults.DIE_IN_BODY)
    warehouse.load(IMAGE, images(200), "range")
    assert sorted(one.alive for one in cluster.backends) == [False, True]
    assert [rows for _, rows in cluster.loads] == [200]


def test_a_load_whose_backend_died_is_waited_for_until_the_cluster_gives_it_up(warehouse, cluster):
    cluster.faults.add(faults.DIE_IN_BODY, 0.05)
    warehouse.load(IMAGE, images(), "range")
    assert [rows for _, rows in cluster.loads] == [3]


def test_a_connection_that_breaks_in_the_body_leaves_nothing_behind_and_is_tried_again(
    warehouse, cluster
):
    cluster.faults.add(faults.ABORT_IN_BODY)
    warehouse.load(IMAGE, images(200), "range")
    assert held(warehouse) == 200
    assert [rows for _, rows in cluster.loads] == [200]


def test_loads_and_queries_go_on_at_the_frontend_that_is_left(warehouse, cluster):
    warehouse.load(IMAGE, images(1), "before")
    cluster.frontends[0].stop()
    warehouse.load(IMAGE, images(3), "after")
    assert held(warehouse) == 3
    cluster.frontends[0].start()
    cluster.frontends[1].stop()
    assert held(warehouse) == 3


def test_without_any_frontend_work_waits(warehouse, cluster):
    for frontend in cluster.frontends:
        frontend.stop()
    with pytest.raises(TransientError, match="no answer"):
        warehouse.load(IMAGE, images(1), "range")
    with pytest.raises(TransientError, match=r"frontend|connection"):
        held(warehouse)


def test_without_any_backend_work_waits(warehouse, cluster):
    for backend in cluster.backends:
        backend.stop()
    with pytest.raises(TransientError, match="No backend available"):
        warehouse.load(IMAGE, images(1), "range")


def test_an_answer_that_takes_longer_than_was_agreed_is_asked_for_again(cluster):
    with fresh_warehouse(cluster, load_seconds=0.3) as warehouse:
        cluster.loads.clear()
        cluster.faults.add(faults.SLOW, 1.0)
        warehouse.load(IMAGE, images(1), "range")
        assert [rows for _, rows in cluster.loads] == [1]


def test_a_query_whose_connection_breaks_is_asked_again(warehouse, cluster):
    warehouse.load(IMAGE, images(2), "range")
    cluster.faults.add(faults.LOST_QUERY)
    assert held(warehouse) == 2


# Batches


def test_rows_are_sent_in_batches_of_bounded_size(cluster):
    with fresh_warehouse(cluster, batch_bytes=65536) as warehouse:
        cluster.asked.clear()
        cluster.loads.clear()
        warehouse.load(IMAGE, images(200, image_comments="x" * 1000), "range")
        sizes = {int(headers["Content-Length"]) for _, headers in cluster.asked}
        assert max(sizes) <= 65536
        assert len(cluster.loads) == len({label for label, _ in cluster.loads}) > 3
        assert sum(rows for _, rows in cluster.loads) == held(warehouse) == 200


def test_after_a_failure_between_batches_only_the_rest_is_loaded(cluster):
    with fresh_warehouse(cluster, batch_bytes=65536) as warehouse:
        rows = images(200, image_comments="x" * 1000)
        cluster.loads.clear()
        cluster.faults.add(faults.FAIL, "[INTERNAL_ERROR]rpc failed", after=2)
        with pytest.raises(TransientError, match="rpc failed"):
            warehouse.load(IMAGE, rows, "range")
        assert len(cluster.loads) == 2
        warehouse.load(IMAGE, rows, "range")
        assert len(cluster.loads) == len({label for label, _ in cluster.loads}) > 3
        assert held(warehouse) == 200


# Order


def test_receipts_replayed_after_their_renditions_leave_target_ts_as_it_was(warehouse, cluster):
    receipt = row_of(OBJECT_META, row_version=1024, phase=0, target_ts=None)
    told = row_of(OBJECT_META, row_version=1026, phase=2, target_ts="1.2.840.10008.1.2.4.80")
    warehouse.load(OBJECT_META, [receipt], "receipts")
    warehouse.load(OBJECT_META, [told], "renditions")
    for status in (ABORTED, FINISHED):  # as if the label had been forgotten, and as it is
        for label in labels(warehouse, cluster):
            cluster.labels(warehouse.options.database)[label].status = status
        warehouse.load(OBJECT_META, [receipt], "receipts")
        assert warehouse.query(f"SELECT target_ts, row_version FROM {OBJECT_META}") == [
            {"target_ts": "1.2.840.10008.1.2.4.80", "row_version": 1026}
        ]


def test_a_failure_replayed_after_its_recovery_stays_recovered(warehouse):
    failed = row_of(CONVERSION_RECORD, row_version=1, state="failed")
    recovered = row_of(CONVERSION_RECORD, row_version=2, state="recovered", error_code=None)
    warehouse.load(CONVERSION_RECORD, [recovered], "second")
    warehouse.load(CONVERSION_RECORD, [failed], "first")
    assert warehouse.query(f"SELECT state FROM {CONVERSION_RECORD}") == [{"state": "recovered"}]


def test_receipts_older_than_the_retention_are_left_out(cluster, caplog):
    with fresh_warehouse(cluster, retention_days=30) as warehouse:
        old = row_of(OBJECT_META, created_time="2001-01-01T00:00:00.000000Z")
        assert warehouse.load(OBJECT_META, [old], "range") == 1
        assert held(warehouse, OBJECT_META) == 0
        assert "1 receipts are older than 30 days" in caplog.text

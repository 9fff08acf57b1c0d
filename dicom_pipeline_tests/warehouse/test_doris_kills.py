"""SIGKILL at every step between rows and bookkeeping: the replay loads what is missing, once."""

import multiprocessing
from functools import partial

import pytest

from dicom_pipeline.warehouse import IMAGE, OBJECT_META
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline_tests.services.doris import DorisDouble, faults
from dicom_pipeline_tests.warehouse.samples import row_of, trace

pytestmark = pytest.mark.service

ROWS = 300
BATCH_BYTES = 65536

POINTS = {
    "before the redirect": faults.HOLD_AT_FRONTEND,
    "in the middle of the rows": faults.HOLD_IN_BODY,
    "when the rows are in and the answer is not out": faults.HOLD_BEFORE_ANSWER,
}
TABLES = {
    OBJECT_META: {},
    IMAGE: {"image_comments": "x" * 400},
}


@pytest.fixture(scope="module")
def cluster():
    with DorisDouble() as double:
        yield double


@pytest.fixture
def opener(cluster):
    database = cluster.new_database()
    opener = partial(DorisWarehouse, cluster.url(database, batch_bytes=BATCH_BYTES))
    with opener() as warehouse:
        warehouse.migrate()
    cluster.loads.clear()
    yield opener
    cluster.faults.clear()
    cluster.catalog.drop(database)


def rows_of(table):
    return [
        row_of(table, trace_id=trace(n), sop_uid=f"1.4.{n}", row_version=1024, **TABLES[table])
        for n in range(ROWS)
    ]


def load_range(opener, table, loaded=None):
    """A stage's work on one range. Run in another process, it stops before its bookkeeping."""
    with opener() as warehouse:
        warehouse.load(table, rows_of(table), "topic:0:0-299")
        if loaded is not None:
            loaded.set()
            loaded.wait_for_the_end()


class Loaded:
    """Told by a process that its load is over; it then waits to be killed."""

    def __init__(self, context):
        self._event = context.Event()
        self._never = context.Event()

    def set(self):
        self._event.set()

    def wait(self):
        assert self._event.wait(60)

    def wait_for_the_end(self):
        self._never.wait(60)


def check(cluster, opener, table):
    """Each row is there once, and no label was loaded twice."""
    with opener() as warehouse:
        assert warehouse.query(
            f"SELECT COUNT(*) AS n, COUNT(DISTINCT trace_id) AS receipts FROM {table}"
        ) == [{"n": ROWS, "receipts": ROWS}]
    labels = [label for label, _ in cluster.loads]
    assert len(labels) == len(set(labels)) > 1
    assert sum(rows for _, rows in cluster.loads) == ROWS


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("table", TABLES)
def test_a_load_that_is_killed_and_replayed_is_done_once(cluster, opener, table, point):
    hold = faults.Hold()
    cluster.faults.add(POINTS[point], hold, after=1)  # one batch is in, others are not
    process = multiprocessing.get_context("spawn").Process(target=load_range, args=(opener, table))
    process.start()
    hold.wait_until_reached()
    process.kill()
    process.join()
    hold.let_go()
    load_range(opener, table)
    check(cluster, opener, table)


def test_a_stage_killed_before_its_bookkeeping_loads_nothing_again(cluster, opener):
    table = OBJECT_META
    context = multiprocessing.get_context("spawn")
    loaded = Loaded(context)
    process = context.Process(target=load_range, args=(opener, table, loaded))
    process.start()
    loaded.wait()
    process.kill()
    process.join()
    load_range(opener, table)
    check(cluster, opener, table)


def test_a_later_word_outlives_the_replay_of_a_killed_receipt(cluster, opener):
    """The receipts' load is killed, the renditions' load comes first, then the replay."""
    hold = faults.Hold()
    cluster.faults.add(faults.HOLD_AT_FRONTEND, hold)
    process = multiprocessing.get_context("spawn").Process(
        target=load_range, args=(opener, OBJECT_META)
    )
    process.start()
    hold.wait_until_reached()
    process.kill()
    process.join()
    hold.let_go()
    word = {"row_version": 1026, "phase": 2, "target_ts": "1.2.3.4"}
    told = [{**row, **word} for row in rows_of(OBJECT_META)]
    with opener() as warehouse:
        warehouse.load(OBJECT_META, told, "renditions")
        load_range(opener, OBJECT_META)
        assert warehouse.query(
            f"SELECT COUNT(*) AS n, MIN(row_version) AS oldest, MIN(target_ts) AS target "
            f"FROM {OBJECT_META}"
        ) == [{"n": ROWS, "oldest": 1026, "target": "1.2.3.4"}]

"""Whatever comes in whatever order, the tables end the same."""

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_pipeline_tests.catalog.samples import (
    contents,
    indexed,
    rendition,
    skeleton,
    storage_record,
)

ONE_FRESH_FOR_ALL = [HealthCheck.function_scoped_fixture]

receipts = st.builds(
    dict,
    sop_uid=st.sampled_from(["1.4.1", "1.4.2"]),
    version=st.integers(1, 3),
    tenant=st.sampled_from(["north", "south"]),
    patient=st.sampled_from(["A1", "a1"]),
    study=st.sampled_from(["1.2.1", "1.2.2"]),
    series=st.sampled_from(["1.3.1", "1.3.2"]),
    size=st.integers(0, 100),
)


def objects_of(some_receipts):
    return [
        indexed(**receipt, trace_id=f"trace-{number}")
        for number, receipt in enumerate(some_receipts)
    ]


@st.composite
def deliveries(draw, items):
    """``items`` in any order, some of them again, cut into batches."""
    again = draw(st.lists(st.sampled_from(items), max_size=4))
    order = draw(st.permutations([*items, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)) | {0, len(order)})
    return [order[start:end] for start, end in pairwise(cuts)]


@settings(max_examples=25, deadline=None, suppress_health_check=ONE_FRESH_FOR_ALL)
@given(data=st.data())
def test_any_order_and_repetition_of_indexing_gives_the_same_tables(emptied, data):
    objects = objects_of(data.draw(st.lists(receipts, min_size=1, max_size=6)))
    batches = data.draw(deliveries(objects))
    with emptied() as one, emptied() as other, one() as expected, other() as catalog:
        expected.migrate()
        expected.index(objects)
        catalog.migrate()
        for batch in batches:
            if data.draw(st.booleans()):
                catalog.record_storage([], [skeleton(item) for item in batch])
            catalog.index(batch)
        assert contents(catalog) == contents(expected)


@settings(max_examples=10, deadline=None, suppress_health_check=ONE_FRESH_FOR_ALL)
@given(data=st.data())
def test_any_order_and_repetition_of_records_and_renditions_gives_the_same_tables(emptied, data):
    numbers = range(1, 6)
    paths = st.sampled_from(["a.dcm", "b.dcm"])
    records = [storage_record(data.draw(paths), version=number) for number in numbers]
    renditions = [rendition(version=number, reason=f"{number}") for number in numbers]
    with emptied() as one, emptied() as other, one() as expected, other() as catalog:
        expected.migrate()
        expected.record_storage(records, [])
        expected.record_renditions(renditions)
        catalog.migrate()
        for batch in data.draw(deliveries(records)):
            catalog.record_storage(batch, [])
        for batch in data.draw(deliveries(renditions)):
            catalog.record_renditions(batch)
        assert contents(catalog) == contents(expected)

"""Several processes use one catalog at a time."""

import multiprocessing

import pytest

from dicom_pipeline_tests.catalog.samples import indexed

BATCHES = 8
OBJECTS = 25


def write_batches(opener, writer: int) -> None:
    """Run in another process: migrate, then index batches of one series."""
    with opener() as catalog:
        catalog.migrate()
        for batch in range(BATCHES):
            catalog.index(
                [
                    indexed(f"1.4.{writer}.{batch}.{n}", trace_id=f"{writer}-{batch}-{n}", size=1)
                    for n in range(OBJECTS)
                ]
            )


@pytest.mark.service
def test_two_processes_migrate_and_index_one_series_without_losing_a_count(opener):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_batches, args=(opener, n)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with opener() as catalog:
        total = 2 * BATCHES * OBJECTS
        assert catalog.query("SELECT number_of_instances, total_size FROM series") == [
            {"number_of_instances": total, "total_size": total}
        ]
        assert catalog.query("SELECT COUNT(*) AS n FROM instance") == [{"n": total}]

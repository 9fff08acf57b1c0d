from benchmarks.catalog import measure, works
from dicom_pipeline.catalog.sql import SqlCatalog


def test_every_work_is_measured_and_writes_what_it_says(tmp_path):
    with SqlCatalog(f"sqlite:///{tmp_path / 'catalog.db'}") as catalog:
        results = list(measure("sqlite", catalog, rows=20, batches=2))
        assert [one.work for one in results] == [work.name for work in works(20)]
        assert all(one.rows_per_s > 0 for one in results)
        for table, rows in (
            ("storage_record", 40),
            ("instance", 80),
            ("study", 42),
            ("rendition", 40),
        ):
            assert catalog.query(f"SELECT COUNT(*) AS n FROM {table}") == [{"n": rows}]
        newest = catalog.query("SELECT DISTINCT row_version >> 40 AS v FROM instance ORDER BY v")
        assert newest == [{"v": 1}, {"v": 2}]

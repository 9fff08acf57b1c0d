"""``dicom-pipeline migrate``."""

from dicom_pipeline.cli.exits import finish, load_settings


def migrate() -> None:
    """Create missing queues and tables, and say what was done. Safe to repeat."""

    def body() -> int:
        from dicom_pipeline.cli.migration import run_migrate  # noqa: PLC0415 - a quick --help

        return run_migrate(load_settings())

    finish(body)


command = migrate

"""Whether the tables of a database are those of this program."""

from collections.abc import Sequence
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.errors import ConfigurationError, PipelineError
from dicom_pipeline.schema_state import Query, missing_migrations

_SHOWN: Final = 5


def migration_check(system: str, query: Query, url: str, purpose: str) -> Check:
    """Whether all migrations are applied, and none was changed."""
    try:
        missing = missing_migrations(query, url, purpose)
    except ConfigurationError as error:
        return failure(system, "schema", str(error), "install the version that fits the schema")
    except PipelineError as error:
        return failure(system, "schema", str(error), "run `dicom-pipeline migrate`; see above")
    if missing:
        return warning(
            system,
            "schema",
            f"migrations pending: {', '.join(missing)}",
            "run `dicom-pipeline migrate`; `up` does it by itself",
        )
    return ok(system, "schema", "all migrations applied")


def drift_check(system: str, deviations: Sequence[str]) -> Check:
    """Whether somebody has altered the tables by hand."""
    if not deviations:
        return ok(system, "drift", "the tables are as the migrations have made them")
    shown = "; ".join(deviations[:_SHOWN])
    more = f"; and {len(deviations) - _SHOWN} more" if len(deviations) > _SHOWN else ""
    remedy = "undo it by hand: migrations never touch what was altered"
    return warning(system, "drift", shown + more, remedy)

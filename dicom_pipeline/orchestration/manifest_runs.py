"""When manifests are written: which run the sensor asks for, and what a run tells."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg
from pydantic import Field

from dicom_pipeline.catalog import Catalog, DueManifest, Study
from dicom_pipeline.manifests.writing import Writer
from dicom_pipeline.orchestration.viewer_links import LINKS, viewer_links
from dicom_pipeline.settings import Settings

KEY: Final = dg.AssetKey(["viewer", "manifests"])
JOB: Final = "manifests_job"

SETTLE_SECONDS: Final = 5
"""A mark rests so long: what arrives together is written together."""
BACKOFF_SECONDS: Final = 10
"""Pause after a failed run; it doubles with each further one in a row."""
BACKOFF_MAX_SECONDS: Final = 300
_LOOKED_AT: Final = 8
"""Runs that are counted; by then the pause is at its longest."""

_ENDED: Final = frozenset(
    {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
)
_SAID: Final = 5
"""Studies that a failure names."""


class ManifestsConfig(dg.Config):
    """What to write."""

    every_study: bool = Field(
        default=False,
        description="Make every study due first: after MANIFEST_ROOT was lost, or PUBLIC_URL "
        "changed. The sensor goes on with what one run does not reach.",
    )


def run_request(
    due: Sequence[DueManifest], records: Sequence[dg.RunRecord], now: float
) -> dg.RunRequest | dg.SkipReason:
    """The run to ask for now.

    The key names the oldest mark and the run before, so that a tick that is repeated asks for the
    same run, and a tick after a failure for another one.

    Args:
        due: the oldest mark, if there is one.
        records: the job's last runs, the newest first.
        now: seconds since the epoch.
    """
    if not due:
        return dg.SkipReason("every manifest says what the catalog does")
    (oldest, *_) = due
    if 0 <= now - mark_time(oldest.mark) < SETTLE_SECONDS:
        return dg.SkipReason(f"marks rest for {SETTLE_SECONDS} s")
    last = records[0] if records else None
    if last and last.dagster_run.status not in _ENDED:
        return dg.SkipReason(f"run {last.dagster_run.run_id} is under way")
    pause = _pause(records)
    if last and last.end_time and now < last.end_time + pause:
        return dg.SkipReason(f"the last run failed; the next one may start after {pause} s")
    before = last.dagster_run.run_id if last else "first"
    return dg.RunRequest(run_key=f"{oldest.mark}/{before}", job_name=JOB)


def last_runs(instance: dg.DagsterInstance) -> Sequence[dg.RunRecord]:
    """The job's last runs, the newest first, whoever started them."""
    return instance.get_run_records(dg.RunsFilter(job_name=JOB), limit=_LOOKED_AT)


def mark_time(mark: str) -> float:
    """When a mark was set: seconds since the epoch (the time of a UUIDv7)."""
    return int(mark.replace("-", "")[:12], 16) / 1000


def _pause(records: Sequence[dg.RunRecord]) -> float:
    failures = 0
    for record in records:
        if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
            break
        failures += 1
    return min(BACKOFF_SECONDS * 2 ** (failures - 1), BACKOFF_MAX_SECONDS) if failures else 0


def write(
    settings: Settings, catalog: Catalog, *, every_study: bool = False
) -> Iterator[dg.MaterializeResult[None]]:
    """Write a portion, and tell what was done.

    Raises:
        dagster.Failure: some studies could not be written; the others were.
    """
    if every_study:
        catalog.mark_all_manifests()
    counts: Counter[str] = Counter(studies=0, shown=0, not_shown=0, failed=0, bytes=0)
    studies: list[Study] = []
    failed: list[Study] = []
    for batch in Writer(settings, catalog).write_due():
        counts.update(batch.counts)
        studies += [one.study for one in batch.written[: max(0, LINKS - len(studies))]]
        failed += batch.failed
    links = viewer_links(settings, studies)
    yield dg.MaterializeResult(metadata={**counts, "waiting": waiting(catalog), **links})
    if failed:
        named = ", ".join(one.study_uid for one in failed[:_SAID])
        raise dg.Failure(
            f"{len(failed)} manifests could not be written, among them {named}: see the run's log",
            allow_retries=False,
        )


def waiting(catalog: Catalog) -> int:
    """Studies whose manifests are due."""
    (row,) = catalog.query("SELECT COUNT(*) AS n FROM study_manifest WHERE due > ''")
    return int(str(row["n"]))

"""A run over one offset range: its configuration, its tags, its metadata and its checks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import dagster as dg

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.event_log import EventLog
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.ranges import RangeReport, Received, StageResult, process_range

RANGE_TAG: Final = "dicom/range"
ATTEMPT_TAG: Final = "dicom/attempt"
FAILURE_TAG: Final = "dicom/failure"
TRANSIENT: Final = "transient"
PERMANENT: Final = "permanent"

RANGE_COMPLETE: Final = "range_complete"
FAILURE_SHARE: Final = "failure_share"
FAILURE_SHARE_WARNING: Final = 0.1
"""Above this share of dead letters and failed objects the check warns."""

Handle = Callable[[Sequence[Received], str], StageResult]
"""Works on a batch; the text names the batch in load labels."""


class RangeConfig(dg.Config):
    """The half-open offset range ``[start, end)`` that a run works on."""

    topic: str = ""
    topic_id: str = ""
    partition: int = 0
    start: int = 0
    end: int = 0

    def offsets(self) -> OffsetRange:
        """The range.

        Raises:
            dagster.Failure: the run was started without one.
        """
        if not self.topic_id or self.end <= self.start:
            raise dg.Failure(
                "This asset is made from a range of queue messages, and this run names none. "
                "Runs start by themselves from the sensor of the queue. To replay a range, use "
                "'Re-execute' on its run, or give topic, topic_id, partition, start and end in "
                "the Launchpad (copy them from the configuration of an earlier run).",
                allow_retries=False,
            )
        return OffsetRange(self.topic, self.topic_id, self.partition, self.start, self.end)


def range_run_request(
    op_name: str, job_name: str, offsets: OffsetRange, attempt: int
) -> dg.RunRequest:
    """The request for a run over ``offsets``: the same range and attempt give the same key."""
    config = {
        "topic": offsets.topic,
        "topic_id": offsets.topic_id,
        "partition": offsets.partition,
        "start": offsets.start,
        "end": offsets.end,
    }
    return dg.RunRequest(
        run_key=offsets.run_key(attempt),
        job_name=job_name,
        run_config={"ops": {op_name: {"config": config}}},
        tags={RANGE_TAG: str(offsets), ATTEMPT_TAG: str(attempt)},
    )


def range_checks(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks that each run over a range answers, on its main asset."""
    return [
        dg.AssetCheckSpec(
            RANGE_COMPLETE,
            asset=key,
            description="Every message of the range was handled or became a dead letter.",
        ),
        dg.AssetCheckSpec(
            FAILURE_SHARE,
            asset=key,
            description="The share of dead letters and failed objects in the range.",
        ),
    ]


@contextmanager
def classified(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Tell the ledger, by a tag of the run, whether its failure is worth another attempt."""
    _tag_failure(context, "")  # a re-executed run inherits its parent's tags
    try:
        yield
    except (TransientError, ConfigurationError) as error:  # goes on once it is mended
        _tag_failure(context, TRANSIENT)
        raise dg.Failure(str(error), allow_retries=False) from error
    except PermanentError as error:
        _tag_failure(context, PERMANENT)
        raise dg.Failure(str(error), allow_retries=False) from error


def _tag_failure(context: dg.AssetExecutionContext, cause: str) -> None:
    if context.run.tags.get(FAILURE_TAG, "") != cause:
        context.instance.add_run_tags(context.run.run_id, {FAILURE_TAG: cause})


def work_on_range(
    context: dg.AssetExecutionContext,
    offsets: OffsetRange,
    log: EventLog,
    catalog: Catalog,
    handle: Handle,
) -> RangeReport:
    """Handle every message of the range, and strike it off the list of abandoned ranges."""

    def labelled(batch: Sequence[Received]) -> StageResult:
        return handle(batch, batch_label(offsets, batch))

    report = process_range(log, offsets, labelled)
    catalog.recovered(offsets)
    context.log.info("%s: %s", offsets, report.counts)
    return report


def batch_label(offsets: OffsetRange, batch: Sequence[Received]) -> str:
    """Names a batch by what is in it, so that other cuts of the same messages differ."""
    first, last = batch[0].offset, batch[-1].offset
    return f"{offsets.topic_id}:{offsets.partition}:{first}-{last}"


def range_results(
    offsets: OffsetRange,
    report: RangeReport,
    behind: int,
    keys: Sequence[dg.AssetKey],
    links: Mapping[str, dg.MetadataValue],
) -> Iterator[dg.MaterializeResult[None]]:
    """What Dagster shows of the range: the same metadata for each table that it fed.

    Args:
        offsets: the range.
        report: what became of it.
        behind: messages of the partition that stand behind the range.
        keys: the tables; the checks belong to the first one.
        links: where a person may see what was made.
    """
    metadata = {**range_metadata(offsets, report, behind), **links}
    main, *others = keys
    yield dg.MaterializeResult(
        asset_key=main, metadata=metadata, check_results=_check_results(offsets, report)
    )
    for key in others:
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)


def range_metadata(
    offsets: OffsetRange, report: RangeReport, behind: int
) -> Mapping[str, str | int | float]:
    """Counts and identifiers only: no patient data goes into Dagster's database."""
    oldest = report.first_timestamp or wall_clock_us()
    return {
        "range": str(offsets),
        "messages": report.messages,
        "objects": report.objects,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "lag_messages": behind,
        "lag_seconds": round(max(0, wall_clock_us() - oldest) / 1_000_000, 3),
        "dead_letters": sum(report.dead_letters.values()),
        **report.counts,
    }


def failures(report: RangeReport) -> int:
    """Dead letters, and what the stage counts under a name that begins with ``failed_``."""
    failed = sum(n for name, n in report.counts.items() if name.startswith("failed_"))
    return failed + sum(report.dead_letters.values())


def _check_results(offsets: OffsetRange, report: RangeReport) -> list[dg.AssetCheckResult]:
    share = failures(report) / max(report.messages, 1)
    return [
        dg.AssetCheckResult(
            check_name=RANGE_COMPLETE,
            passed=report.messages == len(offsets),
            metadata={"expected": len(offsets), "messages": report.messages},
        ),
        dg.AssetCheckResult(
            check_name=FAILURE_SHARE,
            passed=share <= FAILURE_SHARE_WARNING,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failed": failures(report), "share": round(share, 4)},
        ),
    ]

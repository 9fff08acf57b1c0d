"""What Dagster shows and does of the routine load: runs by hand, the sensor's look, the check."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import Field

from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.orchestration.backfill_runs import explained
from dicom_pipeline.orchestration.keys import warehouse_key
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.routine_load import NOTHING_TO_MANAGE, feeds_the_table
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import OBJECT_META

if TYPE_CHECKING:
    from dicom_pipeline.routine_load.opening import Managed
    from dicom_pipeline.routine_load.repair import RepairReport
    from dicom_pipeline.routine_load.statements import Start
    from dicom_pipeline.routine_load.watching import Seen, Verdict

Metadata = Mapping[str, str | int]

CHECK: Final = "routine_load_is_well"
KEY: Final = warehouse_key(OBJECT_META)
LOOK_AHEAD: Final = 300_000

_IDLE_SECONDS: Final = 60

_START: Final = "OFFSET_BEGINNING or OFFSET_END; empty: where it stood."


class StartConfig(dg.Config):
    """Where a routine load begins."""

    start: str = Field(default="", description=_START)


class AlterConfig(dg.Config):
    """What to alter. Without either, the properties become those of the settings."""

    properties: dict[str, str] = Field(default={}, description="Properties and their new values.")
    offsets: dict[str, int] = Field(
        default={}, description="Partitions, and the offset that is read next of each."
    )


class RepairConfig(dg.Config):
    """How a repair goes about."""

    look_ahead: int = Field(
        default=LOOK_AHEAD,
        gt=0,
        description="How many messages of each partition are searched for refused ones.",
    )
    resume: bool = Field(default=True, description="Resume it afterwards.")


def job_of(op: dg.OpDefinition) -> dg.JobDefinition:
    """The job of one op."""

    @dg.job(name=f"{op.name}_job", description=op.description, executor_def=dg.in_process_executor)
    def job() -> None:
        op()

    return job


def manage(
    context: dg.OpExecutionContext, pipeline: Pipeline, act: Callable[["Managed"], str]
) -> None:
    """Do something with the routine load; what was done and how it is now becomes metadata."""
    settings = pipeline.settings()
    if not feeds_the_table(settings):
        context.log.info(NOTHING_TO_MANAGE)
        context.add_output_metadata({"outcome": NOTHING_TO_MANAGE})
        return
    from dicom_pipeline.routine_load.looking import figures, look  # noqa: PLC0415 - when chosen
    from dicom_pipeline.routine_load.opening import open_routine_load  # noqa: PLC0415

    with explained(), open_routine_load(settings) as managed:
        outcome = act(managed)
        context.log.info(outcome)
        context.add_output_metadata({"outcome": outcome, **figures(look(managed))})


def start_of(config: StartConfig) -> "Start | None":
    """Where to begin.

    Raises:
        dagster.Failure: the configuration names no start.
    """
    from dicom_pipeline.routine_load.statements import Start  # noqa: PLC0415 - when chosen

    try:
        return Start(config.start) if config.start else None
    except ValueError:
        raise dg.Failure(f"start: say {_START}", allow_retries=False) from None


def alter(managed: "Managed", config: AlterConfig) -> str:
    """Alter as the configuration says."""
    try:
        offsets = {int(partition): offset for partition, offset in config.offsets.items()}
    except ValueError:
        raise ConfigurationError("offsets: a partition is a number") from None
    return managed.load.alter(config.properties, offsets)


def repair(context: dg.OpExecutionContext, managed: "Managed", config: RepairConfig) -> str:
    """Repair; the report becomes metadata of the step and of the asset."""
    from dicom_pipeline.routine_load.repair import repair  # noqa: PLC0415 - when chosen

    report = repair(managed, config.look_ahead, resume=config.resume)
    for told in report.refused:
        context.log.warning("dead letter %s", told)
    context.log_event(dg.AssetMaterialization(KEY, metadata=repair_metadata(report)))
    return report.summary()


def repair_metadata(report: "RepairReport") -> Metadata:
    """Counts, codes and offsets."""
    return {
        "repaired_messages": report.messages,
        "repaired_rows": report.loaded,
        "dead_letters": sum(report.dead_letters.values()),
        "dead_letter_codes": ", ".join(f"{n} {code}" for code, n in report.dead_letters.items()),
        "gone_messages": report.gone,
        "moved": ", ".join(f"{p}:{old}→{new}" for p, (old, new) in report.moved.items()),
    }


def look_interval(settings: Settings) -> int:
    """Seconds between two looks. Sensors tick one after another: idle ones are not in the way."""
    return settings.stream_tick_seconds if feeds_the_table(settings) else _IDLE_SECONDS


def tick(cursor: str | None, pipeline: Pipeline) -> dg.SensorResult | dg.SkipReason:
    """Look at the routine load, note what is accounted for, resume it, tell what differs."""
    settings = pipeline.settings()
    if not feeds_the_table(settings):
        return dg.SkipReason(NOTHING_TO_MANAGE)
    from dicom_pipeline.messages import LOG_QUEUE  # noqa: PLC0415 - with those below
    from dicom_pipeline.routine_load import watching  # noqa: PLC0415 - when chosen
    from dicom_pipeline.routine_load.looking import error_lines, figures, look  # noqa: PLC0415
    from dicom_pipeline.routine_load.opening import open_routine_load  # noqa: PLC0415
    from dicom_pipeline.stages import OBJECT_META as STAGE  # noqa: PLC0415

    try:
        with open_routine_load(settings) as managed:
            seen = look(managed)
            verdict = watching.judge(watching.decode(cursor), seen, wall_clock_us())
            for partition, offset in verdict.commit.items():
                managed.log.commit(STAGE.consumer_group, LOG_QUEUE, partition, offset)
            if verdict.resume:
                managed.load.resume()
            events: list[dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
            if watching.tells_anew(verdict):
                lines = error_lines(managed, seen.state) if verdict.problems else []
                events.append(evaluation(verdict, seen, lines))
            if verdict.moved or events:
                events.append(dg.AssetMaterialization(KEY, metadata=figures(seen)))
    except TransientError as error:
        return dg.SkipReason(str(error))
    return dg.SensorResult(cursor=watching.encode(verdict.watch), asset_events=events)


def evaluation(verdict: "Verdict", seen: "Seen", lines: list[str]) -> dg.AssetCheckEvaluation:
    """The check's answer."""
    result = check_result(verdict, seen, lines)
    return dg.AssetCheckEvaluation(
        asset_key=KEY,
        check_name=CHECK,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def check_result(verdict: "Verdict", seen: "Seen", lines: list[str]) -> dg.AssetCheckResult:
    """The check's answer: what needs a person is an error, what mends itself a warning."""
    from dicom_pipeline.routine_load.looking import figures  # noqa: PLC0415 - when chosen

    severe = dg.AssetCheckSeverity.ERROR if verdict.needs_person else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=KEY,
        passed=not verdict.problems,
        severity=severe,
        description="; ".join(verdict.problems) or "it reads the queue, and no row is missing",
        metadata={**figures(seen), "error_log": "\n".join(lines)},
    )


def check_now(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Look at the routine load because somebody asks."""
    settings = pipeline.settings()
    if not feeds_the_table(settings):
        return dg.AssetCheckResult(
            check_name=CHECK, asset_key=KEY, passed=True, description=NOTHING_TO_MANAGE
        )
    from dicom_pipeline.routine_load import watching  # noqa: PLC0415 - when chosen
    from dicom_pipeline.routine_load.looking import error_lines, look  # noqa: PLC0415
    from dicom_pipeline.routine_load.opening import open_routine_load  # noqa: PLC0415

    with explained(), open_routine_load(settings) as managed:
        seen = look(managed)
        verdict = watching.judge(watching.Watch(), seen, wall_clock_us())
        lines = error_lines(managed, seen.state) if verdict.problems else []
        return check_result(verdict, seen, lines)

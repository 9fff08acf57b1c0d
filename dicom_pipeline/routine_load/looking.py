"""A look at the routine load and at the queue that it reads, and what may be shown of it."""

import msgspec

from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline.routine_load.opening import Managed
from dicom_pipeline.routine_load.state import RoutineLoadState
from dicom_pipeline.routine_load.watching import Seen, lag
from dicom_pipeline.stages import OBJECT_META


def look(managed: Managed) -> Seen:
    """What can be seen now. The progress is asked for first: the queue only grows.

    Raises:
        TransientError: Doris or Kafka is away.
    """
    state = managed.load.find()
    if state is None:
        state = next((one for one in managed.load.all() if one.state == "CANCELLED"), None)
    return Seen(
        name=managed.load.name,
        topic=managed.load.topic,
        topic_id=managed.log.topic_id(LOG_QUEUE),
        state=state,
        watermarks=managed.log.watermarks(LOG_QUEUE),
        committed=managed.log.committed(OBJECT_META.consumer_group, LOG_QUEUE),
        other_columns=state is not None and managed.load.reads_other_columns(state),
    )


def error_lines(managed: Managed, state: RoutineLoadState | None) -> list[str]:
    """The error logs that Doris names, without the rows' values."""
    urls = state.error_log_urls if state else []
    return [managed.warehouse.error_log(url) for url in urls]


def figures(seen: Seen) -> dict[str, str | int]:
    """What may be shown of a look: figures, offsets and Doris' words, no values and passwords."""
    state = seen.state
    behind: dict[str, str | int] = {"lag_messages": lag(state, seen.watermarks)}
    if state is None:
        return {"state": "missing", **behind}
    rows = state.statistic
    return {
        "routine_load": f"{state.name} ({state.id})",
        "state": state.state.value,
        **behind,
        "error_rows": rows.error_rows,
        "loaded_rows": rows.loaded_rows,
        "total_rows": rows.total_rows,
        "progress": _json(state.next_offsets(seen.watermarks)),
        "high_watermarks": _json({p: marks.high for p, marks in seen.watermarks.items()}),
        "accounted_for": _json(seen.committed),
        "reason": str(state.reason),
    }


def _json(offsets: object) -> str:
    return msgspec.json.encode(offsets).decode()

"""Failed conversions as the stages leave them, without any files."""

import msgspec

from dicom_pipeline.imaging.outcomes import RETRYABLE, Action, ConversionError, ErrorCode, Outcome
from dicom_pipeline.messages import TRANSCODE_QUEUE, OffsetRange, decode_event
from dicom_pipeline.stages.conversion_records import conversion_records
from dicom_pipeline.stages.decided import Decided, rendition_row
from dicom_pipeline.stages.object_meta import object_meta_row
from dicom_pipeline.warehouse import CONVERSION_RECORD, IMAGE, OBJECT_META
from dicom_pipeline_tests.events import an_event

SHOWN = Outcome(action=Action.KEEP, rule="shown", reason="as it is")
SECOND = 1_000_000
START = 1_769_860_800 * SECOND
"""When the first object was received."""


def failed(code=ErrorCode.TIMEOUT):
    error = ConversionError(
        code=code, reason="why", library="codec", library_version="1.2", retryable=code in RETRYABLE
    )
    return Outcome(action=Action.FAIL, rule="none", reason="", error=error)


def received(number, **changes):
    """The event of a receipt; each number is another object, a second after the one before."""
    return an_event(
        **{
            "trace_id": f"019a0000-0000-7000-8000-{number:012d}",
            "sop_uid": f"1.2.3.{number}",
            "version": START + number * SECOND,
        }
        | changes
    )


def say(stores, outcome, *events, logged=True, indexed=True):
    """What the stages write when the conversions of these receipts end like this."""
    catalog, warehouse = stores
    decided = [Decided(event, outcome) for event in events]
    if logged:
        warehouse.load(OBJECT_META, [object_meta_row(one.told()) for one in decided], "meta")
    if indexed:
        warehouse.load(IMAGE, [image_row(event) for event in events], "image")
    catalog.record_renditions([rendition_row(one) for one in decided])
    records = conversion_records(decided, catalog, warehouse)
    warehouse.load(CONVERSION_RECORD, records, "record")


def image_row(event):
    names = ("tenant_id", "sop_uid", "series_uid", "study_uid", "patient_id", "trace_id")
    return {name: getattr(event, name) for name in names} | {"row_version": event.row_version + 2}


def again(event, attempt):
    return msgspec.structs.replace(event, attempt=attempt)


def published(log):
    """The events in ``transcode_queue``."""
    low, high = log.watermarks(TRANSCODE_QUEUE)[0]
    if low == high:
        return []
    offsets = OffsetRange(TRANSCODE_QUEUE, log.topic_id(TRANSCODE_QUEUE), 0, low, high)
    return [decode_event(record.value) for record in log.read(offsets)]

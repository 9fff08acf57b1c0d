"""One object as an entry of a manifest: what to open for it, or why there is nothing."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from dicom_pipeline.imaging.outcomes import Action
from dicom_pipeline.manifests.addresses import OBJECTS, RENDITIONS, Address
from dicom_pipeline.manifests.attributes import OF_INSTANCE, OF_PIXELS, Attributes, attributes
from dicom_pipeline.manifests.headers import PALETTE
from dicom_pipeline.messages import PHASES
from dicom_pipeline.table_columns import Row

PENDING: Final = "pending"
"""The action of an object whose rendition is not decided yet."""

DICOM: Final = "application/dicom"
MP4: Final = "video/mp4"

RENDITION_COLUMNS: Final = (
    "row_version",
    "action",
    "rule",
    "reason",
    "source_path",
    "file_path",
    "transfer_syntax_uid",
    "number_of_frames",
    "error_code",
)
"""Columns of ``rendition``; in a row they stand with ``PREFIX`` before them."""
PREFIX: Final = "rendition_"
INSTANCE_COLUMNS: Final = ("row_version", "file_path")
"""Columns of ``instance`` beside the attributes."""

MOST_FRAMES: Final = 20_000
"""Items of one object: a header may claim any number of frames."""

Describe = Callable[[str, str], Attributes]
"""What the pixels of a file are: by the root of its URL, and its path below that."""


class Entry(NamedTuple):
    """An object in a manifest."""

    shown: bool
    """Whether there is a file to open."""
    failed: bool
    """Whether there should be one."""
    items: list[dict[str, object]]
    """Its own item, and one for each further frame: OHIF takes every frame from an item."""


class _Opened(NamedTuple):
    root: str
    path: str
    media_type: str


def entry(row: Row, url_of: Address, describe: Describe) -> Entry:
    """The entry of an object.

    Args:
        row: its columns of ``instance``, and with `PREFIX` those of its rendition, NULL without.
        url_of: makes URLs.
        describe: reads the header of a display copy, as its pixels may have another form than the
            original's, and of an image with a palette. OHIF takes both from the manifest: without
            them it shows false colours, or nothing.
    """
    action = _action(row)
    opened = _opened(row, action)
    metadata = attributes(row, OF_INSTANCE)
    frames = _number(row["rendition_number_of_frames"]) or _number(row["number_of_frames"]) or 1
    rendition = {
        "action": action,
        "rule": row["rendition_rule"],
        "reason": row["rendition_reason"],
        "error_code": row["rendition_error_code"],
        "original_transfer_syntax": row["transfer_syntax_uid"],
        "transfer_syntax": row["rendition_transfer_syntax_uid"],
        "media_type": opened.media_type if opened else None,
        "frames": frames,
    }
    if action == PENDING:  # nothing is said of another file than the current one
        rendition.update(rule=None, reason=None, error_code=None, transfer_syntax=None)
    if opened is None:
        failed = rendition["error_code"] is not None
        return Entry(False, failed, [{"metadata": metadata, "url": None, "rendition": rendition}])
    if action == Action.TRANSCODE or metadata.get("PhotometricInterpretation") == PALETTE:
        metadata = {k: v for k, v in metadata.items() if k not in OF_PIXELS}
        metadata |= describe(opened.root, opened.path)
    url = url_of(f"{opened.root}{opened.path}")
    own: dict[str, object] = {"metadata": metadata, "url": url, "rendition": rendition}
    if opened.media_type == MP4:
        own["metadata"] = {**metadata, "PixelData": {"DirectRetrieveURL": url}}
        return Entry(True, False, [own])
    if frames > 1:
        metadata["NumberOfFrames"] = frames
    own["url"] = url = f"dicomweb:{url}"  # OHIF and Cornerstone3D find the loader by the scheme
    return Entry(True, False, [own, *_further_frames(metadata, url, frames)])


def _further_frames(
    metadata: Mapping[str, object], url: str, frames: int
) -> Iterator[dict[str, object]]:
    named = {"SOPInstanceUID": metadata["SOPInstanceUID"]}
    for frame in range(2, min(frames, MOST_FRAMES) + 1):
        yield {"metadata": named, "url": f"{url}?frame={frame}"}


def _action(row: Row) -> str:
    """What was decided; pending, too, while the decision is about an older file of the object."""
    action, indexed = row["rendition_action"], row["row_version"]
    if action is None:
        return PENDING
    replaced = row["rendition_source_path"] != row["file_path"]
    older = _receipt(row["rendition_row_version"]) < _receipt(indexed)
    return PENDING if replaced and older else str(action)


def _receipt(version: object) -> int:
    """The version of the receipt, without the phase."""
    return int(str(version)) // PHASES


def _opened(row: Row, action: str) -> _Opened | None:
    if row["rendition_error_code"] or action == PENDING:
        return None
    if action == Action.KEEP:
        return _Opened(OBJECTS, str(row["rendition_source_path"]), DICOM)
    if row["rendition_file_path"] is None:
        return None
    path = str(row["rendition_file_path"])
    if action == Action.TRANSCODE:
        return _Opened(RENDITIONS, path, DICOM)
    if action == Action.EXTRACT_VIDEO:
        return _Opened(RENDITIONS, path, MP4)
    return None


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))

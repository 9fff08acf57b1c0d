"""An object of many frames: cut in parts for all worker processes, and put together here.

Nothing of the object is decoded or parsed in this process. It gets the encoded frames of one part
after the other, in order, and writes them to a partial file beside the target; a few parts are in
memory at a time.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from dicom_pipeline.imaging.encoding import WiderPixelsError
from dicom_pipeline.imaging.failures import failed_outcome, outcome_of
from dicom_pipeline.imaging.outcomes import Outcome
from dicom_pipeline.imaging.parts import Decoded, Encoded, Wider
from dicom_pipeline.imaging.rendition_file import RenditionFile
from dicom_pipeline.imaging.transcode import LargeObject, Rendition, told, transcoded
from dicom_pipeline.stages.attempts import CIRCUMSTANCES
from dicom_pipeline.stages.conversions import (
    CheckPart,
    Conversion,
    DecodePart,
    EncodePart,
    Part,
    Result,
    Task,
)
from dicom_pipeline.storage import atomic_file
from dicom_pipeline.workers import LimitedPool, TaskFailure

logger = logging.getLogger(__name__)

R = TypeVar("R", Decoded, Encoded)

_PROGRESS_EVERY: Final = 10.0
"""Seconds between two words on how far a conversion is."""


class _EndedError(Exception):
    """An outcome is there before all parts are done."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def convert_in_parts(
    pool: LimitedPool[Task, Result], conversion: Conversion, large: LargeObject, sop_uid: str
) -> Outcome:
    """Decode, and if need be convert, a large object with all processes of the pool.

    A part that hangs, crashes or takes too much memory is tried once more, then the object fails
    with the code of that. Whatever is wrong with the object is told in the outcome. The time limit
    of a task is that of each part.

    Args:
        pool: runs `dicom_pipeline.stages.conversions.convert`.
        conversion: what the pool was asked to do for the object.
        large: what it found.
        sop_uid: names the object in the log.

    Raises:
        TransientError: the workers cannot be reached any more.
    """
    job = _Job(pool, large, sop_uid)
    try:
        if large.rendition is None:
            tasks = [DecodePart(conversion.source, large.decision, part) for part in large.parts()]
            decoded = sum(part.frame_count for part in job.run("decoded", Decoded, tasks))
            return told(large.decision, frames=decoded)
        return _write(job, conversion, large.rendition)
    except _EndedError as ended:
        return ended.outcome
    except WiderPixelsError:
        (again,) = pool.map([conversion._replace(whole_cells=True)])
        if isinstance(again, LargeObject) and not conversion.whole_cells:
            whole = conversion._replace(whole_cells=True)
            return convert_in_parts(pool, whole, again, sop_uid)
        return again if isinstance(again, Outcome) else job.lost(again)
    except OSError as error:
        return outcome_of(error, large.decision, conversion.source)


def _write(job: "_Job", conversion: Conversion, rendition: Rendition) -> Outcome:
    source, target, _ = conversion
    form, surroundings = rendition
    decision, parts = job.large.decision, list(job.large.parts())
    digests = []
    with atomic_file(target) as partial, Path(partial.name).open("r+b") as file:
        writing = RenditionFile(file, surroundings)
        tasks = [EncodePart(source, decision, part, form) for part in parts]
        for encoded in job.run("converted", Encoded, tasks):
            digests.append(encoded.digests)
            for frame in encoded.frames:
                writing.append(frame)
        size = writing.finish()
        checks = [
            CheckPart(Path(file.name), decision, part, expected)
            for part, expected in zip(parts, digests, strict=True)
        ]
        for _ in job.run("read back", Decoded, checks):
            pass
    return transcoded(decision, form, writing.frames, size)


class _Job:
    """The parts of one object, one kind of task after the other."""

    def __init__(self, pool: LimitedPool[Task, Result], large: LargeObject, sop_uid: str) -> None:
        self.large = large
        self._pool = pool
        self._sop_uid = sop_uid
        self._told = time.monotonic()

    def run(self, what: str, kind: type[R], tasks: Sequence[Part]) -> Iterator[R]:
        """The results of the parts, in order.

        Raises:
            _EndedError: one of them failed.
            WiderPixelsError: see there.
        """
        done = 0
        with closing(self._pool.map(tasks)) as results:
            for task, result in zip(tasks, results, strict=True):
                yield self._sound(kind, task, result)
                done += len(task.frames)
                self._tell(what, done)

    def _sound(self, kind: type[R], task: Part, result: Result | TaskFailure) -> R:
        if isinstance(result, TaskFailure) and result.code in CIRCUMSTANCES:
            (result,) = self._pool.map([task])
        if isinstance(result, kind):
            return result
        if isinstance(result, Wider):
            raise WiderPixelsError
        raise _EndedError(result if isinstance(result, Outcome) else self.lost(result))

    def lost(self, result: Result | TaskFailure) -> Outcome:
        """The outcome of an object of which a part gave no result."""
        assert isinstance(result, TaskFailure)
        return failed_outcome(result, self.large.decision)

    def _tell(self, what: str, done: int) -> None:
        now = time.monotonic()
        if now - self._told >= _PROGRESS_EVERY:
            self._told = now
            logger.info(
                "object %s: %d of %d frames %s", self._sop_uid, done, self.large.frames, what
            )

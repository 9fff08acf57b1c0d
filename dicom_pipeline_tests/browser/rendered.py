"""What the product makes of objects, each in a worker process as in the renditions stage."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dicom_pipeline.imaging.failures import failed_outcome
from dicom_pipeline.imaging.outcomes import Outcome
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.workers import LimitedPool, TaskFailure


class Pair(NamedTuple):
    source: Path
    target: Path


def _render(pair: Pair) -> Outcome:
    return render(pair.source, pair.target)


def rendered(pairs: Iterable[Pair]) -> Iterator[Outcome]:
    """The outcome of each object, in order; a codec that hangs or crashes costs one object."""
    with LimitedPool(_render, processes=2, memory_bytes=4 << 30, seconds=20) as pool:
        for result in pool.map(pairs):
            yield failed_outcome(result) if isinstance(result, TaskFailure) else result

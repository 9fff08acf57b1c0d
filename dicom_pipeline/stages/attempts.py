"""Working through a batch in worker processes, with a second chance for the unlucky."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from dicom_pipeline.workers import LimitedPool, TaskFailure

T = TypeVar("T")
R = TypeVar("R")

CIRCUMSTANCES: Final = frozenset({"timeout", "crashed", "memory"})
"""Codes of `TaskFailure` that a busy machine may be to blame for, not the object."""


def attempt_all(
    pool: LimitedPool[T, R], items: Sequence[T]
) -> Iterator[tuple[int, R | TaskFailure]]:
    """The number of each item and its result; few results are held at a time.

    What failed by `CIRCUMSTANCES` is tried once more at the end, while nothing else runs.
    """
    again = []
    for number, result in enumerate(pool.map(items)):
        if isinstance(result, TaskFailure) and result.code in CIRCUMSTANCES:
            again.append(number)
        else:
            yield number, result
    for number in again:
        (result,) = pool.map([items[number]])
        yield number, result

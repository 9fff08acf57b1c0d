"""Reading the heads of many files in worker processes, in the order of the files."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.batches import batches
from dicom_pipeline.reindexing.report import Scope
from dicom_pipeline.reindexing.walking import Found
from dicom_pipeline.settings import Settings
from dicom_pipeline.workers import LimitedPool, TaskFailure
from receiver.stored import Earlier, LeftOut, Stored, read_stored

_FILES: Final = 64
"""Files of one task: to hand over a task costs as much as to read several heads."""

Result = Stored | LeftOut | Earlier


class Task(NamedTuple):
    """What a worker process is asked to read."""

    root: Path
    paths: tuple[str, ...]
    scope: Scope


Pool = LimitedPool[Task, list[Result]]


def read_files(task: Task) -> list[Result]:
    """The event of each file. Runs in a worker process."""
    scope = task.scope
    return [
        read_stored(task.root, path, since=scope.since, verify=scope.verify, adopt=scope.adopt)
        for path in task.paths
    ]


def open_pool(settings: Settings, jobs: int) -> Pool:
    """``jobs`` workers; a context manager."""
    return LimitedPool(
        read_files,
        processes=jobs,
        memory_bytes=settings.worker_memory_bytes,
        seconds=settings.index_seconds_per_object * _FILES,
    )


def results(
    pool: Pool, root: Path, scope: Scope, found: Iterable[Found]
) -> Iterator[tuple[Found, Result]]:
    """Each file and what became of it, in the order of the files; few are held at a time.

    A file that crashes its worker costs itself only: the files of its task are read one by one.

    Raises:
        TransientError: the workers cannot be started or reached any more.
    """
    parts: deque[list[Found]] = deque()

    def tasks() -> Iterator[Task]:
        for part in batches(found, _FILES, _FILES, lambda _: 1):
            parts.append(part)
            yield _task(root, scope, part)

    for result in pool.map(tasks()):
        part = parts.popleft()
        if isinstance(result, TaskFailure):
            yield from ((one, _alone(pool, root, scope, one)) for one in part)
        else:
            read = iter(result)
            yield from ((one, _of(one) if one.problem else next(read)) for one in part)


def _task(root: Path, scope: Scope, part: Iterable[Found]) -> Task:
    return Task(root, tuple(one.path for one in part if not one.problem), scope)


def _of(found: Found) -> LeftOut:
    return LeftOut("unreadable", found.problem)


def _alone(pool: Pool, root: Path, scope: Scope, one: Found) -> Result:
    if one.problem:
        return _of(one)
    (result,) = pool.map([_task(root, scope, [one])])
    if isinstance(result, TaskFailure):
        return LeftOut("unreadable", f"{result.code}: {result.message}")
    return result[0]

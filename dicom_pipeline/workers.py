"""Worker processes with limits: an item that hangs, crashes or eats memory costs that item only.

Every task runs in a worker process, with a time limit (the process is killed) and a limit on its
address space. Processes come from a fork server that has imported the function's module, so that
starting one again takes milliseconds, and never from a fork of the caller, which has threads.
"""

import resource
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar

import msgspec
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from dicom_pipeline.errors import TransientError

T = TypeVar("T")
R = TypeVar("R")

_SCHEDULED_PER_PROCESS: Final = 2
"""Tasks that run or wait, per process: one to work on and one at hand."""


class TaskFailure(msgspec.Struct, frozen=True):
    """Why a task gave no result."""

    code: Literal["timeout", "crashed", "memory", "exception"]
    message: str
    """Holds no values of the item: an exception's text may quote a patient's data."""


class LimitedPool(Generic[T, R]):
    """Calls one function in worker processes with limits.

    Args:
        function: importable by its name from a module other than ``__main__``; it gets one item.
            Items and results must be picklable.
        processes: number of workers.
        memory_bytes: address space of each worker (``RLIMIT_AS``).
        seconds: time limit of each task.
    """

    def __init__(
        self, function: Callable[[T], R], *, processes: int, memory_bytes: int, seconds: float
    ) -> None:
        self._task = partial(_guarded, function)
        self._seconds = seconds
        self._ahead = processes * _SCHEDULED_PER_PROCESS
        context = _WorkerContext()
        context.set_forkserver_preload([__name__, function.__module__])
        self._pool = ProcessPool(
            max_workers=processes,
            initializer=_limit_memory,
            initargs=(memory_bytes,),
            context=context,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs and wait until every worker is gone."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def map(self, items: Iterable[T]) -> Generator[R | TaskFailure]:
        """The results in the order of the items; only a few items are taken ahead.

        What was taken ahead is given up when the iterator is closed before its end.

        Raises:
            TransientError: the workers cannot be started or reached any more.
        """
        waiting: deque[ProcessFuture[R | TaskFailure]] = deque()
        try:
            for item in items:
                waiting.append(self._schedule(item))
                if len(waiting) >= self._ahead:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()  # type: ignore[no-untyped-call]

    def _schedule(self, item: T) -> "ProcessFuture[R | TaskFailure]":
        try:
            return self._pool.schedule(self._task, args=(item,), timeout=self._seconds)
        except RuntimeError as error:
            raise _broken(error) from error


def _result(future: "ProcessFuture[R | TaskFailure]") -> R | TaskFailure:
    try:
        return future.result()
    except TimeoutError as error:
        limit = error.args[1] if len(error.args) > 1 else "?"
        return TaskFailure("timeout", f"took longer than the limit of {limit} s")
    except ProcessExpired as error:
        return TaskFailure("crashed", f"the worker process ended with {_exit_name(error.exitcode)}")
    except BrokenProcessPool as error:
        raise _broken(error) from error
    except Exception as error:  # noqa: BLE001  a result that cannot be pickled is this item's failure
        return TaskFailure("exception", describe(error))


def _broken(error: BaseException) -> TransientError:
    return TransientError(
        f"the worker processes are gone ({type(error).__name__}): check the machine's memory and "
        "limits on processes, then run again"
    )


def _exit_name(code: int) -> str:
    """``SIGKILL`` for -9, ``exit status 3`` for 3."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit status {code}"


def _guarded(function: Callable[[T], R], item: T) -> R | TaskFailure:
    """Run in the worker: an exception becomes a value, so that none has to survive pickling."""
    try:
        return function(item)
    except MemoryError:
        return TaskFailure("memory", "needed more memory than a worker may use")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  a panic in Rust code is no Exception
        return TaskFailure("exception", describe(error))


def describe(error: BaseException) -> str:
    """Type and place of an exception, without its text, which may quote a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).stem}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _limit_memory(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # A crash is expected now and then; a core file of it would hold patients' images.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_main_lock = threading.Lock()


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Let a new process start without importing the program that the caller runs.

    `multiprocessing` imports the caller's ``__main__`` in every new process: a needless second for
    `dagster`, and a second run of a script without a guard.
    """
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _WorkerProcess(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: ANN401, N802  the base class's own signature
        with _main_module_hidden():
            return ForkServerProcess._Popen(process_obj)  # noqa: SLF001


class _WorkerContext(ForkServerContext):
    Process = _WorkerProcess

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from dicom_pipeline.workers import LimitedPool, TaskFailure, describe

MEMORY = 2 << 30

# Each test starts processes, which takes a second; the wait for a hung task adds to that.
pytestmark = pytest.mark.service


def act(what: str) -> str:  # noqa: C901  one case for each mishap
    """A task that goes wrong in the way it is told to; the worker calls it."""
    match what:
        case "hang":
            time.sleep(60)
        case "exit":
            os._exit(7)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            return str(len(bytes(3 << 30)))
        case "recursion":
            return act_again()
        case "raise":
            raise ValueError("the patient's name is Nobody^Knows")
        case "unpicklable exception":
            raise UnpicklableError("one", "two")
        case "panic":
            raise PanicError
        case "unpicklable result":
            return lambda: what  # type: ignore[return-value]
    return f"{what} done"


def act_again() -> str:
    return act_again()


class PanicError(BaseException):
    """What a panic in Rust code comes as."""


class UnpicklableError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
        self.two = lambda: two


@pytest.fixture(scope="module")
def pool() -> Iterator[LimitedPool[str, str]]:
    with LimitedPool(act, processes=2, memory_bytes=MEMORY, seconds=3) as limited:
        yield limited


def test_results_come_in_the_order_of_the_items(pool):
    items = [str(number) for number in range(50)]

    assert list(pool.map(items)) == [f"{item} done" for item in items]


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("hang", "timeout", "limit of 3 s"),
        ("exit", "crashed", "exit status 7"),
        ("segfault", "crashed", "SIGSEGV"),
        ("kill", "crashed", "SIGKILL"),
        ("memory", "memory", "more memory"),
        ("recursion", "exception", "RecursionError at test_workers"),
        ("raise", "exception", "ValueError at test_workers"),
        ("unpicklable exception", "exception", "UnpicklableError at test_workers"),
        ("panic", "exception", "PanicError at test_workers"),
        ("unpicklable result", "crashed", "exit status 1"),
    ],
)
def test_a_bad_item_costs_itself_only(pool, what, code, message):
    before, failure, after = pool.map(["before", what, "after"])

    assert (before, after) == ("before done", "after done")
    assert isinstance(failure, TaskFailure)
    assert failure.code == code
    assert message in failure.message
    assert "Nobody" not in failure.message


def test_only_a_few_items_are_taken_ahead(pool):
    taken = 0

    def items() -> Iterator[str]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield str(number)

    results = pool.map(items())
    next(results)

    assert taken <= 5


def test_a_description_of_an_exception_has_no_text_of_it():
    assert describe(ValueError("Nobody^Knows")) == "ValueError"


def test_the_program_of_the_caller_is_not_run_again_in_the_workers(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            print("program runs")
            from dicom_pipeline.workers import LimitedPool
            from dicom_pipeline_tests.test_workers import act
            with LimitedPool(act, processes=1, memory_bytes=2 << 30, seconds=9) as pool:
                print(*pool.map(["it", "exit", "that"]), sep="|")
            """
        )
    )

    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=True, timeout=60
    )

    lines = done.stdout.splitlines()
    assert lines[0] == "program runs"
    assert lines[1].startswith("it done|")
    assert lines[1].endswith("|that done")
    assert len(lines) == 2

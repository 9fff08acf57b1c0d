"""The fast sender, one process of it: `python -m benchmarks.generator PLAN` (JSON).

It negotiates and warms up its associations, writes ``ready``, waits for a line with the start on
the monotonic clock, sends, and writes one line of JSON. Only the standard library.
"""

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.template import Template
from benchmarks.wire import StoreMessage, WireError, associate


@dataclass(frozen=True)
class Plan:
    """What one generator process sends."""

    template: str
    """File of the `Template`."""
    port: int
    called: str
    first_association: int
    associations: int
    warm_up: int
    """Objects per association before the clock starts."""
    objects: int
    """Objects per association at most; 0: no limit."""
    seconds: float
    """Time after which no further object is begun; 0: no limit."""


@dataclass
class Result:
    """What one generator process measured."""

    latencies_us: list[int] = field(default_factory=list)
    """From the first byte of a request to its response."""
    end: float = 0
    """Monotonic time of the last response."""
    cpu_seconds: float = 0
    """User and system time of this process from the start to the end."""
    errors: list[str] = field(default_factory=list)


class Sender:
    """One association in one thread."""

    def __init__(self, plan: Plan, template: Template, index: int) -> None:
        self._plan = plan
        self._index = index
        self._association = associate(plan.port, plan.called, template.sop_class_uid)
        self._association.wait_in_kernel()
        self._message = StoreMessage(template, self._association.max_pdu)
        self.latencies_us: list[int] = []
        self.error = ""
        for number in range(plan.warm_up):
            self._store(number)
        self.latencies_us.clear()

    def run(self, start: float) -> None:
        """Send until the plan's end."""
        plan = self._plan
        number, end = plan.warm_up, plan.warm_up + plan.objects
        deadline = start + plan.seconds
        try:
            while (not plan.objects or number < end) and (
                not plan.seconds or time.monotonic() < deadline
            ):
                self._store(number)
                number += 1
        except (OSError, WireError) as error:
            self.error = f"association {self._index}, object {number}: {error!r}"

    def release(self) -> None:
        """End the association in order."""
        if not self.error:
            self._association.release()

    def _store(self, number: int) -> None:
        message_id = self._message.make(self._index, number)
        began = time.perf_counter_ns()
        self._association.socket.sendall(self._message.buffer)
        status = self._association.status(message_id)
        self.latencies_us.append((time.perf_counter_ns() - began) // 1000)
        if status:
            raise WireError(f"status {status:04X}")


def main() -> None:
    """Carry out the plan in the first argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    template = Template.load(Path(plan.template))
    senders = [
        Sender(plan, template, plan.first_association + number)
        for number in range(plan.associations)
    ]
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    threads = [threading.Thread(target=sender.run, args=(start,)) for sender in senders]
    time.sleep(max(0.0, start - time.monotonic()))
    cpu = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = Result(end=time.monotonic(), cpu_seconds=time.process_time() - cpu)
    for sender in senders:
        result.latencies_us += sender.latencies_us
        if sender.error:
            result.errors.append(sender.error)
        sender.release()
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()

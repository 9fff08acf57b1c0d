"""``dicom-receiver``: the receiver as a process. Stops in order on SIGTERM and SIGINT.

Exit status: 0 stopped, 2 configuration error, 1 anything else.
"""

import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from pydantic import ValidationError

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.logs import set_up_logging
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import keep_private
from receiver.failures import described
from receiver.processes import WORKER_OPTION, ReceiverProcesses
from receiver.server import Receiver

logger = logging.getLogger("receiver")


def main() -> None:
    """Run until a signal asks to stop."""
    sys.exit(run())


def run() -> int:
    """Run until a signal asks to stop; returns the exit status."""
    keep_private()
    prefer_throughput()
    stop = _stop_by_signal()
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"dicom-receiver: {error}\n")
        return 2
    set_up_logging(settings.log_format, settings.log_level)
    try:
        place = _place(sys.argv[1:])
        if settings.receiver_processes > 1 and place is None:
            return ReceiverProcesses(settings).run(stop)
        if place is not None:
            _stop_with(place, stop)
        receiver = Receiver(settings, place=place)
        receiver.start()
        gc.freeze()  # what is there now stays: no collection need look at it again
        stop.wait()
        receiver.stop()
    except ConfigurationError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says it all
        return 2
    except Exception as error:  # noqa: BLE001 - told by the exit status
        logger.critical("receiver failed", extra=described(error))
        return 1
    return 0


def prefer_throughput() -> None:
    """Let no thread of ours that wakes interrupt one that runs: both would lose their caches.

    All that is started later has it from us. Who has chosen another policy keeps it.
    """
    with suppress(AttributeError, OSError):  # not Linux; not allowed
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _place(arguments: Sequence[str]) -> socket.socket | None:
    """Where one of several processes takes its connections; None for a receiver alone."""
    match arguments:
        case [option, descriptor] if option == WORKER_OPTION:
            place = socket.socket(fileno=int(descriptor))
            place.setblocking(False)
            place.set_inheritable(False)
            return place
    return None


def _stop_with(place: socket.socket, stop: threading.Event) -> None:
    """Set the event once nobody can give connections to the place any more.

    A parent that is killed ends its children, but for one that it was only just starting.
    """
    hung_up = select.poll()
    hung_up.register(place, 0)  # a hang-up is told without being asked for

    def wait() -> None:
        hung_up.poll()
        stop.set()

    threading.Thread(target=wait, name="place", daemon=True).start()


def _stop_by_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Call it before any other thread is started.

    A thread waits for them, and no other takes them: a handler would only run once the main thread
    wakes, which it need not do for a signal that another thread was given.
    """
    numbers = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    stop = threading.Event()

    def wait() -> None:
        signal.sigwait(numbers)
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


if __name__ == "__main__":
    main()

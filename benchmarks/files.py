"""The limit: objects as durable files, and nothing else. No network, no DICOM, no digest, no event.

Whatever keeps each object as a file of its own, and answers only when a power failure cannot take
it any more, has to wait for as much: one sync of the file and one of its entry in the folder.
"""

import mmap
import os
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.report import FILES, Run
from benchmarks.senders import Load, Sent
from receiver.incoming import DIRECT_BYTES
from receiver.object_file import BLOCK, ObjectFile

__all__ = ["FILES", "write_files"]

_ENOUGH_SECONDS: Final = 600.0
"""Where only the number of objects is limited."""


def write_files(folder: Path, load: Load) -> Run:
    """Write files of the load's size as our receiver does, by a thread for each association."""
    folder.mkdir(parents=True)
    data = load.template.data_set
    each = load.objects // load.associations if load.objects else None
    latencies: list[list[int]] = [[] for _ in range(load.associations)]
    begin = threading.Barrier(load.associations + 1)

    def write(latencies_us: list[int]) -> None:
        with mmap.mmap(-1, -(-len(data) // BLOCK) * BLOCK) as memory, memoryview(memory) as buffer:
            buffer[: len(data)] = data
            entries = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            begin.wait()
            ended = time.monotonic() + (load.seconds or _ENOUGH_SECONDS)
            while time.monotonic() < ended and (each is None or len(latencies_us) < each):
                began = time.perf_counter_ns()
                path = f"{folder}/{threading.get_ident()}-{len(latencies_us)}"
                file = ObjectFile(path, direct=len(data) >= DIRECT_BYTES)
                file.write(buffer, len(data))
                file.sync()
                os.fsync(entries)
                latencies_us.append((time.perf_counter_ns() - began) // 1000)
            os.close(entries)

    threads = [threading.Thread(target=write, args=(own,)) for own in latencies]
    for thread in threads:
        thread.start()
    cpu, began = time.process_time(), time.monotonic()
    begin.wait()
    for thread in threads:
        thread.join()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    told = [one for own in latencies for one in own]
    return Run(Sent(len(told), 0, seconds, 0.0, told), cpu, len(data))

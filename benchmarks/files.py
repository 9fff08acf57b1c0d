"""Objects as durable files, and nothing else: no network, no DICOM, no digest, no event.

Whatever makes a file for each object, and answers only when a power failure cannot take it any
more, has to wait for as much: one sync of the file and one of its entry in the folder.
"""

import mmap
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.report import Run
from benchmarks.senders import Load, Sent
from receiver.incoming import DIRECT_BYTES
from receiver.object_file import BLOCK, ObjectFile

_ENOUGH_SECONDS: Final = 600.0
"""Where only the number of objects is limited."""


def write_files(folder: Path, load: Load) -> Run:
    """Write files of the load's size as our receiver does, by a thread for each association.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True)
    data = load.template.data_set
    direct = len(data) >= DIRECT_BYTES
    whole_blocks = -(-len(data) // BLOCK) * BLOCK
    size = whole_blocks if direct else len(data)
    each = load.objects // load.associations if load.objects else None
    begin = threading.Barrier(load.associations + 1)

    def write(association: int) -> list[int]:
        """The latency of each file in microseconds."""
        latencies_us: list[int] = []
        with mmap.mmap(-1, whole_blocks) as memory, memoryview(memory) as buffer:
            buffer[: len(data)] = data
            begin.wait()
            ended = time.monotonic() + (load.seconds or _ENOUGH_SECONDS)
            while time.monotonic() < ended and (each is None or len(latencies_us) < each):
                began = time.perf_counter_ns()
                path = f"{folder}/{association}-{len(latencies_us)}"
                file = ObjectFile(path, direct=direct)
                file.write(buffer, size)
                file.sync()
                os.fsync(entries)
                latencies_us.append((time.perf_counter_ns() - began) // 1000)
        return latencies_us

    entries = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with ThreadPoolExecutor(load.associations) as pool:
            written = pool.map(write, range(load.associations))
            cpu, began = time.process_time(), time.monotonic()
            begin.wait()
            latencies_us = [one for own in written for one in own]
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    finally:
        os.close(entries)
    return Run(Sent(len(latencies_us), 0, seconds, 0.0, latencies_us), cpu, len(data))

"""A reader that dies of one object: a module of its own, as each worker process imports it."""

import os
import signal

from dicom_pipeline.reindexing.reading import read_files

DEADLY = "1.2.666"


def read_or_die(task):
    """Takes the place of `read_files`."""
    if any(DEADLY in path for path in task.paths):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_files(task)

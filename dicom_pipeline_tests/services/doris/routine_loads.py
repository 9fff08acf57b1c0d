"""The routine loads of a cluster, and what tests may change about them."""

import threading
from collections.abc import Callable
from itertools import count

from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.loading import Loader
from dicom_pipeline_tests.services.doris.routine_jobs import Definition, Job, State


class RoutineLoads:
    """The routine loads of a cluster, and what tests may change about them."""

    def __init__(self, cluster, loader: Callable[[Definition], Loader]) -> None:
        self.cluster = cluster
        self.loader = loader
        self.files: dict[str, object] = {}
        """What CREATE FILE brought, by name: paths."""
        self.second = 0.02
        """How long a second of max_batch_interval lasts."""
        self.back_off = 0.2
        """Seconds before the first time that a job resumes by itself."""
        self.batch_rows = 1 << 31
        """Most rows of a batch, below what max_batch_rows allows to say."""
        self.rereads = False
        """Whether a batch that pauses its job is aborted, and read again."""
        self.alter_pins = False
        """Whether ALTER with offsets leaves out all other partitions."""
        self.stopped = False
        self._jobs: list[Job] = []
        self._numbers = count(20001)
        self._lock = threading.Lock()

    def add(
        self, definition: Definition, offsets: dict[int, int], default: int, *, pinned: bool
    ) -> Job:
        with self._lock:
            for job in self.named(definition.database, definition.name):
                if not job.state.is_final:
                    raise DorisError(
                        f"Name {definition.name} already used in db {definition.database}"
                    )
            start = {"offsets": offsets, "default": default, "pinned": pinned}
            job = Job(self, next(self._numbers), definition, **start)
            self._jobs.append(job)
            return job

    def named(self, database: str, name: str) -> list[Job]:
        return [
            job
            for job in self._jobs
            if (job.definition.database, job.definition.name) == (database, name)
        ]

    def forget(self, database: str) -> None:
        """Drop the jobs that are stopped, as Doris does after three days."""
        self._jobs = [
            job
            for job in self._jobs
            if job.definition.database != database or not job.state.is_final
        ]

    def drop(self, database: str) -> None:
        """Let go of all jobs of a database."""
        for job in self._jobs:
            if job.definition.database == database and not job.state.is_final:
                job.stop(State.CANCELLED)
            if job.definition.database == database:
                job.join()
        self.forget(database)

    def stop(self) -> None:
        self.stopped = True
        for job in self._jobs:
            job.join()

"""A site with real servers: Kafka, MariaDB and Redis, two receivers, and the stack without one."""

import random
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.progress import messages_left, outbox_depth, unfinished_receipts
from dicom_pipeline.cli.status import read_status
from dicom_pipeline.demo.accounting import missing
from dicom_pipeline.errors import TransientError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.modality import Modality
from dicom_pipeline_tests.receiver.running import process
from dicom_pipeline_tests.receiver.running import read_status as receiver_status
from dicom_pipeline_tests.stack import RunningStack

NODES = ("node-1", "node-2")
PARTITIONS = 3
QUICK = {
    "stream_backoff_seconds": 1,
    "stream_backoff_max_seconds": 4,
    "stream_range_messages": 50,
    "stream_max_attempts": 2,
    "worker_processes": 1,
}
"""Many small ranges, that come back soon, and whose attempts run out soon."""
LEDGERS_SHARE = 0.3
"""How many of the looks go to the sensors' ledgers, which take longer to read."""


class Site:
    """What a test needs of a running site.

    Args:
        folder: where homes and storage are.
        urls: the URLs of the systems, by the settings' names.
    """

    def __init__(self, folder: Path, **urls: str) -> None:
        self.urls = {**urls, "event_log_partitions": PARTITIONS}
        self.storage = folder / "storage"
        self.homes = {node: folder / node for node in NODES}
        self.stack = RunningStack(
            folder / "stack",
            "--no-receiver",
            wait=False,
            storage_root=self.storage,
            **self.urls,
            **QUICK,
        )

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def port(self, node: str) -> int:
        status = receiver_status(self.homes[node])
        assert status is not None
        return status["port"]

    def modality(self, node: str, data_sets, per_second: float) -> Modality:
        """One that sends to a receiver; started."""
        modality = Modality(lambda: self.port(node), data_sets, per_second)
        modality.start()
        return modality

    def left(self) -> dict[str, int]:
        """What is not done yet, wherever it is. Each part is read after those that feed it."""
        receipts = unfinished_receipts(self.settings)
        outboxes = {
            f"outbox of {node}": outbox_depth(Settings(dicom_pipeline_home=home))
            for node, home in self.homes.items()
        }
        return {"receipts": receipts, **outboxes, **messages_left(self.settings)}

    def lag(self) -> int:
        """The lag of all stages as `status` tells it from their ledgers."""
        return sum(queue.lag_messages for queue in read_status(self.settings).queues)

    def wait_until_caught_up(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                left = self.left()
            except TransientError as error:
                left = {str(error): 1}
            if not any(left.values()):
                return
            assert time.monotonic() < deadline, f"after {seconds} s these are left: {left}"
            time.sleep(0.5)

    def require_exactly_once(self, acknowledged) -> None:
        """Every object is stored, indexed and decided, nothing is doubled, nobody is needed."""
        assert missing(self.settings, acknowledged) == []
        with open_catalog(self.settings) as catalog, open_warehouse(self.settings) as warehouse:
            assert catalog.abandoned() == []
            for table in ("instance", "rendition"):
                assert _doubled(catalog, table, "tenant_id, sop_uid") == []
            assert _doubled(warehouse, "dicom_image", "tenant_id, sop_uid") == []
            assert _doubled(warehouse, "dicom_object_meta", "trace_id") == []
            (counted,) = catalog.query("SELECT SUM(number_of_instances) AS n FROM study")
            (instances,) = catalog.query("SELECT COUNT(*) AS n FROM instance")
            assert counted["n"] == instances["n"]
            paths = catalog.query("SELECT file_path FROM storage_record")
        stored = Counter(str(row["file_path"]) for row in paths)
        files = {str(path.relative_to(self.storage)) for path in self.storage.rglob("*.dcm")}
        assert stored == dict.fromkeys(files, 1)


def _doubled(store, table: str, key: str) -> list:
    return store.query(f"SELECT {key} FROM {table} GROUP BY {key} HAVING COUNT(*) > 1")


@contextmanager
def running_site(folder: Path, **urls: str):
    """A site whose every part is ready."""
    site = Site(folder, **urls)
    variables = {
        name.upper(): str(value)
        for name, value in {**site.urls, "storage_root": site.storage}.items()
    }
    with ExitStack() as undo:
        undo.enter_context(site.stack)
        for node, home in site.homes.items():
            undo.enter_context(process(home, **{**variables, "WORKER_NODE_ID": node}))
        site.stack.wait_until_ready()
        yield site


class LagWatch(threading.Thread):
    """Holds, all the time, that what is left is 0 only when everything acknowledged is done.

    Args:
        site: what to look at.
        acknowledged: gives what was acknowledged until now.
    """

    PAUSE_SECONDS = 0.3

    def __init__(self, site: Site, acknowledged) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._acknowledged = acknowledged
        self._stopping = threading.Event()
        self.looks = 0
        """How often a number could be had."""
        self.refused = 0
        """How often a system was away."""
        self.untrue: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(self.PAUSE_SECONDS):
            try:
                self._look()
            except TransientError:
                self.refused += 1
            except Exception as error:  # noqa: BLE001 - told by the test
                self.untrue.append(f"{type(error).__name__}: {error}")

    def _look(self) -> None:
        before = list(self._acknowledged())
        left = self._by_the_ledgers() if random.random() < LEDGERS_SHARE else self._site.left()
        self.looks += 1
        if not any(left.values()) and (lacking := missing(self._site.settings, before)):
            self.untrue.append(f"nothing is left, but {lacking[:3]} ({len(lacking)}) is missing")

    def _by_the_ledgers(self) -> dict[str, int]:
        """They know nothing of what no event tells of yet: that is looked at first."""
        left = self._site.left()
        on_the_way = {
            name: n for name, n in left.items() if name.startswith(("receipts", "outbox"))
        }
        return {**on_the_way, "lag": self._site.lag()}

    def end(self) -> None:
        """Stop, and say what was untrue."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()
        assert self.untrue == []
        assert self.looks

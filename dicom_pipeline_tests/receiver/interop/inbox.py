"""What a running receiver has taken, seen from outside: its events and its files."""

import re
from pathlib import Path

from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.running import published
from receiver.part10 import read_head

PRIVATE_SYNTAX = "1.2.826.0.1.3680043.8.498.99.1"
"""Accepted by configuration."""

PROXY = "127.0.0.9"
"""A balancer's address."""

PEERS = f"""
[[peer]]
tenant = "ward"
called_ae = "WARD"
networks = ["127.0.0.1/32"]

[[peer]]
tenant = "ct"
calling_ae = "CT1"
networks = ["127.0.0.1/32"]

[[peer]]
tenant = "branch"
networks = ["127.0.0.2/32"]

[[peer]]
called_ae = "NORTH"
networks = ["127.0.0.4/32"]

[[peer]]
tenant = "balanced"
networks = ["10.1.2.0/24"]

[[peer]]
calling_ae = "ONLY_CT"
sop_classes = ["1.2.840.10008.5.1.4.1.1.2"]
networks = ["127.0.0.1/32"]

[[peer]]
calling_ae = "LIKES_J2K"
transfer_syntaxes = ["1.2.840.10008.1.2.4.90", "{PRIVATE_SYNTAX}"]
networks = ["127.0.0.1/32"]

[[peer]]
networks = ["127.0.0.1/32"]
"""

VARIABLES = {
    "RECEIVER_PRIVATE_TRANSFER_SYNTAXES": f'["{PRIVATE_SYNTAX}"]',
    "RECEIVER_PROXY_NETWORKS": f'["{PROXY}/32"]',
}


def data_set(path) -> bytes:
    """The bytes of a Part 10 file behind its head."""
    path = Path(path)
    return path.read_bytes()[read_head(path).offset :]


class Inbox:
    """A receiver process and its home."""

    def __init__(self, home, port) -> None:
        self.home = home
        self.port = port

    def events(self, calling, count):
        """The receipts of a sender, once there are ``count``; duplicates count too."""

        def received():
            return [each for each in published(self.home, LOG_QUEUE) if each.source_ae == calling]

        wait_until(lambda: len(received()) >= count)
        assert len(received()) == count
        return received()

    def path(self, event) -> Path:
        return self.home / "storage" / event.file_path

    def data_sets(self, calling, count) -> dict[str, bytes]:
        """What a sender's objects are on disk, by SOP Instance UID."""
        return {e.sop_uid: data_set(self.path(e)) for e in self.events(calling, count)}

    def ends(self, calling) -> list[str]:
        """How this sender's associations have ended."""
        lines = (self.home / "log.txt").read_text().splitlines()
        return [
            re.search(r'"result": "(\w+)"', line)[1]
            for line in lines
            if '"association ended"' in line and f'"calling_ae": "{calling}"' in line
        ]

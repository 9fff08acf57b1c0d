"""Two real receivers behind an nginx: one storage root, and a home and an event log for each."""

import time
from contextlib import contextmanager

from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.running import published, read_status, spawn, wait_until_ready


class Receivers:
    """Receivers ``node-0`` and ``node-1``, on the ports that nginx passes senders to."""

    def __init__(self, nginx, folder):
        self.nginx = nginx
        self.homes = [folder / f"home-{number}" for number in range(2)]
        self.children = [None, None]

    def spawn(self, number):
        """Begin to start one."""
        self.children[number] = spawn(
            self.homes[number],
            WORKER_NODE_ID=f"node-{number}",
            RECEIVER_PORT=str(self.nginx.receiver_ports[number]),
            RECEIVER_PROXY_NETWORKS='["127.0.0.1/32"]',
            STORAGE_ROOT=str(self.nginx.storage),
            RECEIVER_HTTP_PORT="0",
        )

    def wait(self, number):
        """Until it is ready."""
        wait_until_ready(self.homes[number], self.children[number])

    def start(self, number):
        self.spawn(number)
        self.wait(number)

    def kill(self, number):
        """SIGKILL."""
        child = self.children[number]
        child.kill()
        child.wait()

    def stop(self, number):
        """SIGTERM; returns the exit status."""
        self.children[number].terminate()
        return self.children[number].wait(60)

    def address(self, number):
        return f"127.0.0.1:{self.nginx.receiver_ports[number]}"

    def http_port(self, number):
        return read_status(self.homes[number])["http_port"]

    def published(self, topic):
        """The events in both logs."""
        return [event for home in self.homes for event in published(home, topic)]


@contextmanager
def two_receivers(nginx, folder):
    """Both, ready; killed at the end."""
    both = Receivers(nginx, folder)
    try:
        for number in range(2):
            both.spawn(number)
        for number in range(2):
            both.wait(number)
        yield both
    finally:
        for child in both.children:
            if child is not None:
                child.kill()
                child.wait()


@contextmanager
def drained(nginx, receivers, number):
    """One gets no new senders."""
    change(nginx, "drain", receivers.address(number))
    try:
        yield
    finally:
        change(nginx, "restore", receivers.address(number))


def change(nginx, command, address):
    """Run ``receivers drain`` or ``restore``, and wait until workers that know of it take over."""
    before = nginx.workers()
    done = nginx.run("receivers", command, address)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: nginx.workers() - before)
    time.sleep(0.2)  # those before them are told at the same moment to take no more

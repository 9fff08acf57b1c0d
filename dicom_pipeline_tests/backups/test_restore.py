"""The recovery drill: back up, lose, restore on an empty machine by the commands, and compare."""

import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from dicom_pipeline.backups.manifest import read_manifest
from dicom_pipeline.event_log import Message
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.receiver.objects import FakeOutbox, receiving_into, request_for
from dicom_pipeline_tests.reindexing.rebuilding import reindex
from receiver.outbox import Outbox
from receiver.receipt import Sender
from receiver.recovery import recover

pytestmark = pytest.mark.service

NODE = "node"
SENDER = Sender("association", "default", "127.0.0.1", "MODALITY", "DICOM_PIPELINE")


def command(home, *arguments, code=0, **variables):
    """Run `dicom-pipeline` on a home; what it has printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", *map(str, arguments)],
        env={**os.environ, "DICOM_PIPELINE_HOME": str(home), "WORKER_PROCESSES": "1", **variables},
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.dcm"))
    }


@contextmanager
def outbox_of(home):
    """The receiver's outbox, as long as a receiver runs."""
    outbox = Outbox(home / "outbox" / f"{NODE}.db")
    try:
        yield outbox
    finally:
        outbox.close()


def receive(home, outbox, seeds):
    receiving = receiving_into(home / "storage", outbox)
    for seed in seeds:
        receiving.receive(SENDER, request_for(an_image(seed)))


def forward(outbox, log):
    """What the forwarder does."""
    while entries := outbox.entries(0, 100):
        log.publish([Message(topic, e.key, e.value) for e in entries for topic in e.topics])
        with outbox._connect() as connection:
            connection.execute("DELETE FROM outbox WHERE id <= ?", (entries[-1].id,))


def process(home):
    """Everything that a start of `up` does with what is left; then all rows."""
    with open_flow(home) as flow, outbox_of(home) as outbox:
        recover(flow.settings.storage, flow.settings.storage / "incoming" / NODE, outbox)
        forward(outbox, flow.log)
        flow.run_all()
        return flow.dump()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home that is backed up at a bad moment: work is left at every step of the way."""
    folder = tmp_path_factory.mktemp("made")
    home = folder / "home"
    with outbox_of(home) as outbox:
        receive(home, outbox, range(4))
        with open_flow(home) as flow:
            forward(outbox, flow.log)
            flow.run_all()
            receive(home, outbox, range(4, 6))
            forward(outbox, flow.log)  # queued, and no stage has looked
        receive(home, outbox, range(6, 8))  # in the outbox
        finished = FakeOutbox()
        receive(home, finished, [8])  # acknowledged: complete in incoming, and no more
        (unfinished,) = finished.events
        path = home / "storage" / unfinished.file_path
        path.rename(home / "storage/incoming" / NODE / f"{unfinished.trace_id}.dcm")
        (home / "peers.toml").write_text("")
        (folder / ".env").write_text("LOG_LEVEL=INFO\n")
        command(home, "backup", folder / "backups")  # the receiver goes on
    return folder


@pytest.fixture
def site(made, tmp_path):
    """A home of one's own like that, with its backup beside it."""
    shutil.copytree(made, tmp_path / "site")
    return tmp_path / "site" / "home"


def backup_of(site):
    (folder,) = (site.parent / "backups").iterdir()
    return folder


def test_on_an_empty_machine_all_that_was_acknowledged_is_back(site, tmp_path):
    new = tmp_path / "machine" / "home"
    new.parent.mkdir()
    said = command(new, "restore", backup_of(site))
    assert "counts and digests of the backup" in said
    assert "then `dicom-pipeline reindex`" in said  # all of it: there are no renditions
    assert (backup_of(site) / "env").read_text() == "LOG_LEVEL=INFO\n"
    assert (new / "peers.toml").exists()
    assert digests(new / "storage") == digests(site / "storage")
    tables = process(new)
    assert tables == process(site)
    assert len(tables["instance"]) == 9
    assert "9 of 9 files" in command(new, "reindex", "--dry-run", "--verify")


def test_reindex_closes_the_gap_between_the_backup_and_the_loss_of_the_tables(site, tmp_path):
    with outbox_of(site) as outbox:
        receive(site, outbox, range(20, 25))
    before = process(site)
    new = tmp_path / "machine" / "home"
    new.parent.mkdir()
    root = {"STORAGE_ROOT": str(site / "storage")}
    said = command(new, "restore", backup_of(site), "--no-objects", **root)
    assert f"reindex --since {read_manifest(backup_of(site)).started}" in said
    (new / "storage").symlink_to(site / "storage")
    older = process(new)
    assert len(older["instance"]) < len(before["instance"])
    with open_flow(new) as flow:
        assert reindex(flow.settings, flow.log).good
        flow.run_all()
        assert flow.dump() == before


def test_an_object_that_is_copied_twice_is_no_duplicate_of_itself(site, tmp_path):
    """It got its name between the copy of ``incoming`` and that of the rest."""
    new = tmp_path / "machine" / "home"
    new.parent.mkdir()
    command(new, "restore", backup_of(site))
    (twice,) = (new / "storage/incoming" / NODE).glob("*.dcm")
    outbox = FakeOutbox()
    recover(new / "storage", twice.parent, outbox)
    (event,) = outbox.events
    shutil.copy(new / "storage" / event.file_path, twice)
    recover(new / "storage", twice.parent, outbox)
    assert outbox.events == [event, event]


def test_the_next_backup_links_what_has_not_changed(site):
    first = backup_of(site)
    left = site.parent / "backups" / "20000101T000000Z.partial"
    left.mkdir()
    command(site, "backup", site.parent / "backups")
    _, second = sorted((site.parent / "backups").iterdir())
    for name in digests(first / "storage"):
        if "incoming" not in name:
            assert (first / "storage" / name).samefile(second / "storage" / name)


def test_nothing_is_written_over(site, tmp_path):
    assert "is there already" in command(site, "restore", backup_of(site), code=2)
    new = tmp_path / "machine" / "home"
    (new / "storage/default").mkdir(parents=True)
    assert "is not empty" in command(new, "restore", backup_of(site), code=2)
    assert [path.name for path in new.iterdir()] in (["storage", "up.lock"], ["up.lock", "storage"])


@pytest.mark.parametrize("name", ["home/catalog.db", "storage"])
def test_a_backup_that_is_damaged_is_refused(site, tmp_path, name):
    broken = backup_of(site) / name
    if broken.is_dir():
        next(broken.rglob("1.2*.dcm")).unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    new = tmp_path / "machine" / "home"
    new.parent.mkdir()
    assert "backup" in command(new, "restore", backup_of(site), code=1)


def test_what_is_not_in_the_backup_is_said(site, tmp_path):
    manifest = read_manifest(backup_of(site))
    assert manifest.left_out == ["the renditions: `reindex` makes them again"]
    assert set(manifest.trees) == {"storage"}
    assert manifest.files["home/catalog.db"].rows["instance"] == 4
    assert "no complete backup" in command(tmp_path / "x", "restore", tmp_path, code=2)
    assert Settings(dicom_pipeline_home=site).home == site

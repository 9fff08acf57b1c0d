import pytest

from dicom_pipeline.file_server import trees
from dicom_pipeline.file_server.application import application
from dicom_pipeline.settings import Settings

OBJECT = "default/20260101/1.2/1.3/1.4.dcm"


@pytest.fixture
def settings(tmp_path):
    settings = Settings(_env_file=None, dicom_pipeline_home=tmp_path / "home")
    for path, content in {
        settings.storage / OBJECT: bytes(range(256)) * 4,
        settings.storage / "incoming" / "node" / "secret.dcm": b"not acknowledged",
        settings.storage / "default" / "notes.txt": b"not an object",
        settings.storage / "plain.dcm": b"of no tenant",
        settings.renditions / OBJECT: b"display copy",
        settings.renditions / "default" / "v.mp4": b"video",
        settings.manifests / "default" / "studies.json": b'{"studies":[]}',
        settings.manifests / "default" / ".studies.json.partial": b"half",
        settings.home / "catalog.db": b"patients",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return settings


@pytest.fixture
def page(settings, monkeypatch):
    """A built page."""
    folder = settings.home / "viewer"
    for name in ("index.html", "main.js", "codecs/decoder.wasm", "style.css", "secret.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"content of {name}".encode())
    monkeypatch.setattr(trees, "viewer_folder", lambda: folder)
    return folder


@pytest.fixture
def served(settings):
    return application(settings)

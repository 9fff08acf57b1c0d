"""The page as people get it: built, served by the product's file server, opened in Chromium."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from dicom_pipeline.cli.network import answers, free_port
from dicom_pipeline_tests.services.server import HOST, ServerProcess
from dicom_pipeline_tests.viewer.page import FLAGS, ViewerPage
from dicom_pipeline_tests.viewer.studies import make_home

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")


class FileServer(ServerProcess):
    """``dicom-pipeline serve`` over a home."""

    name = "file server"
    start_seconds = 30

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(folder)
        self.home = home
        self.port = free_port(HOST)

    def command(self):
        settings = {
            "DICOM_PIPELINE_HOME": self.home,
            "VIEWER_HOST": HOST,
            "VIEWER_PORT": self.port,
        }
        given = (f"{name}={value}" for name, value in settings.items())
        program = Path(sys.executable).with_name("dicom-pipeline")
        return ["env", *given, str(program), "serve"]

    def answers(self):
        return answers(HOST, self.port)


@pytest.fixture(scope="session")
def built_page():
    """The page's folder, built from what is there now."""
    built = subprocess.run(
        ["make", "--no-print-directory", "viewer"], cwd=ROOT, capture_output=True, check=False
    )
    if built.returncode:
        pytest.skip(built.stderr.decode(errors="replace").strip()[-500:])
    return ROOT / "viewer" / "dist"


@pytest.fixture(scope="package")
def home(tmp_path_factory):
    """A home with the studies, converted and in manifests."""
    home = tmp_path_factory.mktemp("home")
    make_home(home, tmp_path_factory.mktemp("sources"))
    return home


@pytest.fixture(scope="package")
def site(built_page, home, tmp_path_factory):
    """Address of a server with the studies."""
    server = FileServer(tmp_path_factory.mktemp("server"), home)
    server.start()
    yield f"http://{HOST}:{server.port}"
    server.stop()


@pytest.fixture(scope="package")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, site):
    """Opens a page of its own, in a language; what it must never do is looked at in the end."""
    pages = []

    def opened(query="", language="en-US"):
        context = browser.new_context(locale=language, viewport={"width": 1280, "height": 800})
        page = ViewerPage(context.new_page(), site)
        pages.append(page)
        page.open(query)
        return page

    yield opened
    for page in pages:
        page.page.context.close()
    assert [each for page in pages for each in page.faults] == []
    assert {address for page in pages for address in page.strangers} == set()

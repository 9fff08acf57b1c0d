"""The page as nginx serves it: over TLS, with a password, and each tenant's studies apart."""

import pytest
from playwright.sync_api import expect

from dicom_pipeline_tests.services.nginx import HOST, PASSWORD, running_nginx
from dicom_pipeline_tests.viewer.page import ViewerPage
from dicom_pipeline_tests.viewer.studies import CHEST, VIDEO, object_uid

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def nginx(built_page, home):
    with running_nginx(
        STORAGE_ROOT=str(home / "storage"),
        RENDITION_ROOT=str(home / "renditions"),
        MANIFEST_ROOT=str(home / "manifests"),
        VIEWER_ROOT=str(built_page),
    ) as server:
        server.stop()
        server.add_user("default", "walter")
        server.start()
        yield server


@pytest.fixture
def open_as(browser, nginx):
    """Opens the page as a user."""
    pages = []

    def opened(user, query):
        context = browser.new_context(
            locale="en-US",
            viewport={"width": 1280, "height": 800},
            ignore_https_errors=True,
            http_credentials={"username": user, "password": PASSWORD},
        )
        page = ViewerPage(context.new_page(), f"https://{HOST}:{nginx.https_port}")
        pages.append(page)
        page.statuses = {}
        page.page.on(
            "response",
            lambda answer: page.statuses.setdefault(answer.url.split("/")[3], set()).add(
                answer.status
            ),
        )
        page.open(query)
        return page

    yield opened
    for page in pages:
        page.page.context.close()
    assert [each for page in pages for each in page.faults] == []
    assert {address for page in pages for address in page.strangers} == set()


def test_a_user_of_the_tenant_sees_its_images(open_as):
    page = open_as("walter", f"?study={CHEST}")
    page.wait_for("shown", object_uid(CHEST, 1, 1))
    assert 200 in page.statuses["objects"]


def test_videos_play(open_as):
    page = open_as("walter", f"?study={VIDEO}")
    page.wait_for("video")
    page.page.locator("video").evaluate("video => video.play()")
    assert 206 in page.statuses["renditions"]


def test_a_user_of_another_tenant_sees_that_they_may_not(open_as):
    page = open_as("alice", "")
    expect(page.page.locator("main")).to_contain_text("403")
    assert 200 not in page.statuses["manifests"]
    assert "张小东" not in page.page.locator("body").inner_text()

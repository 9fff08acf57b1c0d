"""What the page shows when files do not come, come broken, or never end: never another image."""

import pytest
from playwright.sync_api import expect

from dicom_pipeline_tests.viewer.studies import CHEST, VIDEO, object_uid

pytestmark = pytest.mark.service

SECOND = f"**/{object_uid(CHEST, 1, 2)}.dcm*"


@pytest.fixture
def at_first(open_page):
    """Opens the first of the slices after the next one's file was tampered with."""

    def opened(handler):
        page = open_page("?study=none")
        page.page.route(SECOND, handler)
        page.open(f"?study={CHEST}")
        page.wait_for("shown", object_uid(CHEST, 1, 1))
        page.page.keyboard.press("ArrowDown")
        return page

    return opened


def assert_dark(page):
    """No pixel of an image is seen."""
    assert (
        page.page.locator(".stage-image").evaluate("e => getComputedStyle(e).visibility")
        == "hidden"
    )
    expect(page.page.locator(".overlay")).to_be_hidden()


def recover(page):
    page.page.unroute(SECOND)
    page.page.get_by_role("button", name="Try again").click()
    page.wait_for("shown", object_uid(CHEST, 1, 2))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 404}, "The file is not on the server"),
        ({"status": 403}, "Access refused"),
        ({"status": 500}, "It answered with 500"),
        ({"status": 200, "body": "no DICOM"}, "The browser could not decode the image"),
        ({"status": 200, "body": b""}, "The browser could not decode the image"),
    ],
)
def test_a_file_that_is_not_had_is_told_and_can_be_tried_again(at_first, answer, words):
    page = at_first(lambda route: route.fulfill(**answer))
    page.wait_for("message", object_uid(CHEST, 1, 2))
    expect(page.page.get_by_role("alert")).to_contain_text(words)
    assert_dark(page)
    recover(page)


def test_a_server_that_is_gone_is_told(at_first):
    page = at_first(lambda route: route.abort("connectionrefused"))
    page.wait_for("message", object_uid(CHEST, 1, 2))
    expect(page.page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    assert_dark(page)


def test_an_image_on_its_way_does_not_leave_the_one_before_in_sight(at_first):
    held = []
    page = at_first(lambda route: held.append(route))  # noqa: PLW0108  Playwright marks the function
    page.wait_for("loading", object_uid(CHEST, 1, 2))
    assert_dark(page)
    page.page.keyboard.press("ArrowUp")
    page.wait_for("shown", object_uid(CHEST, 1, 1))
    for route in held:
        route.continue_()
    page.page.wait_for_timeout(300)
    page.wait_for("shown", object_uid(CHEST, 1, 1))
    assert (
        page.page.locator(".stage-image").evaluate("e => getComputedStyle(e).visibility")
        == "visible"
    )


def test_a_file_that_never_ends_is_given_up(open_page):
    page = open_page("?study=none")
    page.page.clock.install()
    page.page.route(SECOND, lambda route: None)
    page.open(f"?study={CHEST}")
    page.wait_for("shown", object_uid(CHEST, 1, 1))
    page.page.keyboard.press("ArrowDown")
    page.wait_for("loading", object_uid(CHEST, 1, 2))
    page.page.clock.fast_forward(21_000)
    page.wait_for("message", object_uid(CHEST, 1, 2))
    expect(page.page.get_by_role("alert")).to_contain_text("For 20 seconds nothing more arrived")
    assert_dark(page)


def test_a_video_that_the_browser_cannot_play_is_told(open_page):
    page = open_page("?study=none")
    page.page.route("**/*.mp4", lambda route: route.fulfill(status=200, body="no video"))
    page.open(f"?study={VIDEO}")
    page.wait_for("message", object_uid(VIDEO, 1, 1))
    expect(page.page.get_by_role("alert")).to_contain_text("This browser cannot play the video")


def test_a_file_of_another_server_is_never_asked_for(open_page):
    page = open_page("?study=none")

    def elsewhere(route):
        body = (
            route.fetch()
            .text()
            .replace("dicomweb:/objects/", "dicomweb:https://example.org/files/")
        )
        route.fulfill(body=body, content_type="application/json")

    page.page.route(f"**/manifests/**/{CHEST}.json", elsewhere)
    page.open(f"?study={CHEST}")
    page.wait_for("message")
    expect(page.page.get_by_role("alert")).to_contain_text("The address of the file is not allowed")

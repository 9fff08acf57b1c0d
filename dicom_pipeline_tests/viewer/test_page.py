"""What people do with the page of studies, and what it must show them."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from dicom_pipeline_tests.viewer.studies import (
    CHEST,
    COLOURS,
    HOSTILE,
    HOSTILE_NAME,
    HOSTILE_TEXT,
    MIXED,
    ODD_COLOUR,
    SLICES,
    VIDEO,
    WIDE_COLOUR,
    grey,
    object_uid,
    slice_value,
)

pytestmark = pytest.mark.service

STUDIES = 5
ROUNDING = 2
"""Greys by which a screen may differ from the formula."""


def test_a_study_is_found_and_opened_from_the_list(open_page):
    page = open_page()
    rows = page.page.locator(".studies tbody tr")
    expect(rows).to_have_count(STUDIES)
    page.page.get_by_role("searchbox").fill("张小东 ct")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("张小东")
    expect(rows).to_contain_text("Zhang Xiaodong")
    rows.click()
    page.wait_for("shown", object_uid(CHEST, 1, 1))
    assert f"study={CHEST}" in page.page.url


def test_the_chinese_name_comes_first_on_the_image_too(open_page):
    page = open_page(f"?study={CHEST}")
    page.wait_for("shown")
    assert page.page.locator(".top-left").inner_text().split("\n")[:2] == [
        "张小东",
        "Zhang Xiaodong",
    ]


def test_scrolling_shows_each_slice_in_its_own_grey(open_page):
    page = open_page(f"?study={CHEST}")
    for number in range(1, SLICES + 1):
        page.wait_for("shown", object_uid(CHEST, 1, number))
        expected = grey(slice_value(number))
        assert page.seen() == pytest.approx((expected, expected), abs=ROUNDING)
        page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Home")
    page.wait_for("shown", object_uid(CHEST, 1, 1))
    page.stage.hover()
    page.page.mouse.wheel(0, 120)
    page.wait_for("shown", object_uid(CHEST, 1, 2))
    page.page.get_by_role("slider").fill("4")
    page.wait_for("shown", object_uid(CHEST, 1, 4))


def test_a_window_is_dragged_chosen_and_reset(open_page):
    page = open_page(f"?study={CHEST}")
    page.wait_for("shown")
    values = page.page.locator(".bottom-right")
    expect(values).to_contain_text("W 400 C 40")
    page.page.get_by_label("Window presets").select_option(label="6  Brain 80 / 40")
    expect(values).to_contain_text("W 80 C 40")
    expected = grey(slice_value(1), 40, 80)
    assert page.seen() == pytest.approx((expected, expected), abs=ROUNDING)
    box = page.stage.bounding_box()
    x, y = box["x"] + 300, box["y"] + 300
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 60, y + 40, steps=4)
    page.page.mouse.up()
    expect(values).not_to_contain_text("W 80 C 40")
    page.page.keyboard.press("r")
    expect(values).to_contain_text("W 400 C 40")


def test_zoom_and_inversion_are_undone_by_reset(open_page):
    page = open_page(f"?study={CHEST}")
    page.wait_for("shown")
    page.page.keyboard.press("+")
    expect(page.page.locator(".bottom-right")).to_contain_text("125 %")
    page.page.keyboard.press("i")
    expected = 255 - grey(slice_value(1))
    assert page.seen() == pytest.approx((expected, expected), abs=ROUNDING)
    page.page.get_by_role("button", name="Reset").click()
    expect(page.page.locator(".bottom-right")).to_contain_text("100 %")
    assert page.seen()[0] == pytest.approx(grey(slice_value(1)), abs=ROUNDING)


def test_frames_are_walked_through_and_played(open_page):
    uid = object_uid(CHEST, 2, 1)
    page = open_page(f"?study={CHEST}&instance={uid}&frame=3")
    page.wait_for("shown", uid, frame=3)
    assert page.seen()[0] == pytest.approx(120, abs=ROUNDING)
    page.page.keyboard.press(" ")
    page.wait_for("shown", uid, frame=1)
    page.page.keyboard.press(" ")


def test_kinds_of_pixels_follow_each_other_without_a_trace(open_page):
    page = open_page(f"?study={MIXED}")
    page.wait_for("shown", object_uid(MIXED, 1, 1))
    dark, bright = 50, 200
    for _ in range(2):
        assert page.seen() == pytest.approx((dark, bright), abs=ROUNDING)
        page.page.keyboard.press("ArrowDown")
        page.wait_for("shown", object_uid(MIXED, 1, 2))  # MONOCHROME1
        assert page.seen() == pytest.approx((255 - dark, 255 - bright), abs=ROUNDING)
        page.page.keyboard.press("ArrowDown")
        page.wait_for("shown", object_uid(MIXED, 1, 3))  # RGB
        assert np.abs(page.pixels()[100, 60].astype(int) - (220, 40, 90)).max() <= ROUNDING
        page.page.keyboard.press("ArrowDown")
        page.wait_for("shown", object_uid(MIXED, 1, 4))  # PALETTE COLOR
        palette = np.array([255, 128, 1]) * bright / 255
        assert np.abs(page.pixels()[100, 240] - palette).max() <= ROUNDING
        page.page.keyboard.press("Home")
        page.wait_for("shown", object_uid(MIXED, 1, 1))


def test_colour_of_more_than_8_bits_and_of_an_odd_size_is_shown_right(open_page):
    page = open_page(f"?study={COLOURS}")
    eight_bits = np.array(WIDE_COLOUR) / 257
    for number, colour in enumerate((eight_bits, eight_bits, ODD_COLOUR), 1):
        page.wait_for("shown", object_uid(COLOURS, 1, number))
        assert np.abs(page.pixels()[100, 150] - np.array(colour)).max() <= ROUNDING
        page.page.keyboard.press("ArrowDown")


def test_a_cut_object_says_so_and_shows_nothing(open_page):
    page = open_page(f"?study={MIXED}&instance={object_uid(MIXED, 1, 4)}")
    page.wait_for("shown", object_uid(MIXED, 1, 4))
    page.page.keyboard.press("End")
    page.wait_for("message", object_uid(MIXED, 1, 5))
    alert = page.page.get_by_role("alert")
    expect(alert).to_contain_text("The object is cut short")
    expect(alert).to_contain_text("Send the object again")
    assert (
        page.page.locator(".stage-image").evaluate("e => getComputedStyle(e).visibility")
        == "hidden"
    )
    expect(page.page.locator(".details")).to_contain_text("1.2.840.10008.1.2.4.90")
    expect(page.page.locator(".details")).to_contain_text("not-decodable")


def test_an_object_without_an_image_says_what_it_is(open_page):
    page = open_page(f"?study={MIXED}&instance={object_uid(MIXED, 2, 1)}")
    page.wait_for("message", object_uid(MIXED, 2, 1))
    expect(page.stage).to_contain_text("No image in this object")
    expect(page.stage).to_contain_text("Basic Text SR")


def test_a_video_is_played(open_page):
    page = open_page(f"?study={VIDEO}")
    page.wait_for("video", object_uid(VIDEO, 1, 1))
    page.page.keyboard.press(" ")
    page.until(lambda: page.page.locator("video").evaluate("e => e.currentTime > 0.2"))
    page.page.keyboard.press(" ")
    assert page.page.locator("video").evaluate("e => e.paused && e.videoWidth") == 64
    expect(page.page.locator(".details")).to_contain_text("MPEG-4 AVC/H.264 High Profile")


def test_what_was_done_and_why_stands_beside_the_image(open_page):
    page = open_page(f"?study={CHEST}", "zh-CN")
    page.wait_for("shown")
    details = page.page.locator(".details")
    for words in (
        "原始文件",
        "Explicit VR Little Endian",
        "1.2.840.10008.1.2.1",
        "shown-right",
        "经实测",
    ):
        expect(details).to_contain_text(words)


@pytest.mark.parametrize(
    ("locale", "words"), [("zh-CN", "检查"), ("en-GB", "Studies"), ("de", "Studies")]
)
def test_the_browsers_language_is_spoken(open_page, locale, words):
    expect(open_page(language=locale).page.get_by_role("heading", level=1)).to_have_text(words)


def test_the_language_is_switched_and_remembered_and_the_image_stays(open_page):
    page = open_page(f"?study={CHEST}&instance={object_uid(CHEST, 1, 3)}")
    page.wait_for("shown", object_uid(CHEST, 1, 3))
    page.page.get_by_role("button", name="中文").click()
    page.wait_for("shown", object_uid(CHEST, 1, 3))
    expect(page.page.get_by_role("button", name="调窗")).to_be_visible()
    page.page.reload()
    page.wait_for("shown", object_uid(CHEST, 1, 3))
    expect(page.page.get_by_role("button", name="English")).to_be_visible()


def test_texts_of_senders_are_never_markup(open_page):
    page = open_page()
    expect(page.page.locator(".studies tbody")).to_contain_text(HOSTILE_TEXT)
    expect(page.page.locator(".studies tbody")).to_contain_text("<img src> <b>")
    page.open(f"?study={HOSTILE}")
    page.wait_for("shown")
    expect(page.page.locator(".overlay")).to_contain_text(HOSTILE_TEXT)
    assert page.page.locator("img, b:not(.tenant b, .legend b)").count() == 0
    assert "owned" not in page.page.title()
    assert HOSTILE_NAME.split("^", maxsplit=1)[0] in page.page.title()


@pytest.mark.parametrize(
    "query",
    [
        "?study=../../etc/passwd",
        "?tenant=../x",
        "?study=%3Cscript%3E",
        "?study=9.9.9",
        "?tenant=nobody",
    ],
)
def test_an_address_that_names_nothing_is_answered_in_words(open_page, query):
    page = open_page(query)
    expect(page.page.locator("main")).to_contain_text(re.compile(r"cannot be listed|of 5 studies"))


def test_going_back_leads_to_the_list(open_page):
    page = open_page()
    page.page.get_by_role("link", name="张小东").first.click()
    page.wait_for("shown")
    page.page.go_back()
    expect(page.page.locator(".studies tbody tr")).to_have_count(STUDIES)
    page.page.go_forward()
    page.wait_for("shown")
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".studies tbody tr")).to_have_count(STUDIES)

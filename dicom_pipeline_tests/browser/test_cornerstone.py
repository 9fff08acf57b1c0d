"""What is called renderable is: every object that a viewer would open, loaded by Cornerstone3D.

`CORPUS=all` compares the whole corpus instead of the sample of every run, and loads the original of
every object that is transcoded, to tell how many would have been shown right.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dicom_pipeline.imaging.outcomes import Action, Outcome
from dicom_pipeline_tests.browser.cornerstone import (
    Cornerstone,
    Refused,
    Shown,
    build_page,
    cornerstone,
)
from dicom_pipeline_tests.browser.rendered import Pair, rendered
from dicom_pipeline_tests.corpus.cases import Case, Expectation, Fails
from dicom_pipeline_tests.corpus.cases import Shown as Expected
from dicom_pipeline_tests.corpus.catalogue import all_cases, core_cases

pytestmark = [pytest.mark.service, pytest.mark.timeout(3600)]

WHOLE = os.environ.get("CORPUS") == "all"
ALIKE = 1
"""Objects of the sample that the same rule decided in the same transfer syntax."""
LARGEST_NEEDLESS_SHARE = 0.05


class Judged(NamedTuple):
    """An object of the corpus, and what the product made of it."""

    case: Case
    pair: Pair
    expected: Expectation
    outcome: Outcome

    @property
    def opened(self) -> Path:
        """The file that a viewer opens."""
        return self.pair.source if self.outcome.action is Action.KEEP else self.pair.target


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[Judged]:
    folder = tmp_path_factory.mktemp("corpus")
    written = []
    for case in all_cases() if WHOLE else core_cases():
        pair = Pair(folder / f"{case.name}.dcm", folder / f"{case.name}.rendition.dcm")
        written.append((case, pair, case.write(pair.source)))
    outcomes = rendered(pair for _, pair, _ in written)
    return [Judged(*one, outcome) for one, outcome in zip(written, outcomes, strict=True)]


@pytest.fixture(scope="module")
def viewer(tmp_path_factory) -> Iterator[Cornerstone]:
    with cornerstone(build_page(tmp_path_factory.mktemp("page"))) as opened:
        yield opened


def sample(corpus: list[Judged]) -> list[Judged]:
    """Of the sound objects with the same decision and coding, the first few."""
    if WHOLE:
        return [one for one in corpus if isinstance(one.expected, Expected)]
    taken: Counter[tuple[str, str, str]] = Counter()
    chosen = []
    for one in corpus:
        coding = one.case.name.rsplit("-", 1)[0]
        alike = (one.outcome.rule, one.outcome.target_ts or "", coding)
        if isinstance(one.expected, Expected) and taken[alike] < ALIKE:
            taken[alike] += 1
            chosen.append(one)
    return chosen


def difference(frames: list[Shown | Refused], expected: Expected) -> str | None:
    """What is wrong with the frames that were shown; None if nothing is."""
    if len(frames) != len(expected.pixels):
        return f"{len(frames)} of {len(expected.pixels)} frames"
    for number, (frame, wanted) in enumerate(zip(frames, expected.pixels, strict=True)):
        if isinstance(frame, Refused):
            return f"frame {number}: {frame.error}"
        pixels = frame.pixels
        if pixels.ndim == 1 and pixels.size == wanted.size + 1:
            pixels = pixels[:-1].reshape(wanted.shape)  # the byte that makes a length even
        if pixels.shape != wanted.shape:
            return f"frame {number}: {pixels.shape} instead of {wanted.shape}"
        off = float(np.abs(pixels.astype("f8") - wanted.astype("f8")).max())
        if not off <= expected.tolerance:
            return f"frame {number}: off by {off:g}"
    return None


def test_no_sound_object_ends_as_a_failure(corpus):
    assert [
        (one.case.name, one.outcome.rule, one.outcome.error)
        for one in corpus
        if isinstance(one.expected, Expected)
        and one.outcome.action not in {Action.KEEP, Action.TRANSCODE}
    ] == []


def test_every_damaged_object_ends_as_a_failure_with_its_code(corpus):
    assert [
        (one.case.name, one.outcome)
        for one in corpus
        if isinstance(one.expected, Fails)
        and (one.outcome.error is None or one.outcome.error.code not in one.expected.codes)
    ] == []


def test_cornerstone_shows_the_pixels_of_every_object_that_is_called_renderable(corpus, viewer):
    wrong = {}
    for one in sample(corpus):
        assert isinstance(one.expected, Expected)
        frames = viewer.load(one.opened, len(one.expected.pixels))
        problem = difference(frames, one.expected)
        if problem is not None:
            wrong[one.case.name] = (one.outcome.action, one.outcome.rule, problem)

    assert wrong == {}


def test_few_objects_are_transcoded_that_cornerstone_shows_right(corpus, viewer):
    judged = sample(corpus)
    needless, kept = [], 0
    for one in judged:
        assert isinstance(one.expected, Expected)
        if one.outcome.action is Action.KEEP:
            kept += 1
        elif (
            difference(viewer.load(one.pair.source, len(one.expected.pixels)), one.expected) is None
        ):
            needless.append((one.outcome.rule, one.case.name))

    shown_right = kept + len(needless)
    assert len(needless) <= LARGEST_NEEDLESS_SHARE * shown_right, sorted(needless)


def test_a_page_of_many_objects_tells_no_stale_pixels(corpus, viewer):
    # A decoder that fails may give what it decoded before: then another object's pixels are told.
    sound = next(one for one in corpus if one.case.name == "j2k-u8")
    cut = next(one for one in corpus if one.case.name == "broken-j2k-half")
    assert isinstance(sound.expected, Expected)

    assert difference(viewer.load(sound.pair.source, fresh=True), sound.expected) is None
    stale = viewer.load(cut.pair.source)[0]
    fresh = viewer.load(cut.pair.source, fresh=True)[0]

    assert cut.outcome.action is Action.FAIL
    assert isinstance(stale, Refused) or stale != fresh

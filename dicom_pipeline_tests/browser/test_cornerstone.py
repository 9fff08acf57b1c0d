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
ALIKE = 2
"""Objects of the sample that the same rule decided in the same coding."""
EVERY = 1 if WHOLE else 3
"""Of the objects that are transcoded, every so manyth original is loaded."""
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


def sound(corpus: list[Judged]) -> list[Judged]:
    return [one for one in corpus if isinstance(one.expected, Expected)]


def sample(corpus: list[Judged]) -> list[Judged]:
    """Of the sound objects that the same rule decided in the same coding, the first few."""
    if WHOLE:
        return sound(corpus)
    taken: Counter[tuple[str, str]] = Counter()
    chosen = []
    for one in sound(corpus):
        alike = (one.outcome.rule, one.case.name.split("-")[0])
        if taken[alike] < ALIKE:
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
        if wanted.ndim == 2 and pixels.size == wanted.size + 1:
            # The byte that makes a length even. A viewport cannot show colour with one.
            pixels = pixels[:-1].reshape(wanted.shape)
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
    kept = sum(one.outcome.action is Action.KEEP for one in sound(corpus))
    transcoded = [one for one in sound(corpus) if one.outcome.action is Action.TRANSCODE]
    needless = []
    for one in transcoded[::EVERY]:
        assert isinstance(one.expected, Expected)
        # What is rounded may differ in the rendition, but must not in the original.
        exact = one.outcome.rule == "signed-32-bit-rounded"
        expected = one.expected._replace(tolerance=0) if exact else one.expected
        if difference(viewer.load(one.pair.source, len(expected.pixels)), expected) is None:
            needless.append((one.outcome.rule, one.case.name))

    estimate = len(needless) * EVERY
    assert estimate <= LARGEST_NEEDLESS_SHARE * (kept + estimate), sorted(needless)


def test_cornerstone_shows_the_image_before_instead_of_a_cut_one_so_that_is_a_failure(
    corpus, viewer
):
    # Cornerstone3D itself gives the pixels of the image before: only a failure saves the reader.
    whole = next(one for one in corpus if one.case.name == "j2k-u8")
    cut = next(one for one in corpus if one.case.name == "broken-j2k-half")
    assert isinstance(whole.expected, Expected)

    assert difference(viewer.load(whole.pair.source, fresh=True), whole.expected) is None
    (stale,) = viewer.load(cut.pair.source)
    (fresh,) = viewer.load(cut.pair.source, fresh=True)

    assert cut.outcome.action is Action.FAIL
    assert isinstance(stale, Shown)
    assert np.array_equal(stale.pixels, whole.expected.pixels[0])
    assert isinstance(fresh, Refused) or fresh.pixels.size == 0

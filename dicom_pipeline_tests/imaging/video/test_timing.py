from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.imaging.video.timing import DEFAULT_RATE, frame_rate, time_stamps
from dicom_pipeline.imaging.video.tools import TICKS, Packet

NTSC = Fraction(30_000, 1001)


def cine(**attributes):
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("attributes", "rate"),
    [
        ({"FrameTime": "40"}, 25),
        ({"FrameTime": "33.33"}, 30),
        ({"FrameTime": "33.37"}, NTSC),
        ({"FrameTime": "16.68"}, 2 * NTSC),
        ({"FrameTime": "66.5"}, Fraction(2000, 133)),
        ({"FrameTime": "40", "CineRate": "10"}, 25),
        ({"CineRate": "10", "RecommendedDisplayFrameRate": "15"}, 10),
        ({"RecommendedDisplayFrameRate": "15"}, 15),
        ({"FrameTimeVector": ["0", "40", "40", "40"]}, 25),
        ({"FrameTimeVector": ["0", "30", "50"]}, 25),
    ],
)
def test_the_object_says_how_fast_its_frames_follow(attributes, rate):
    assert frame_rate(cine(**attributes), Fraction(99)) == rate


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("FrameTime", "0"),
        ("FrameTime", ""),
        ("FrameTime", "0.0001"),
        ("FrameTime", "-40"),
        ("FrameTime", "soon"),
        ("FrameTime", "1e999"),
        ("CineRate", "0"),
        ("FrameTimeVector", "0"),
        ("FrameTimeVector", r"0\0"),
        ("FrameTimeVector", r"0\x"),
    ],
)
def test_an_attribute_without_sense_leaves_it_to_the_stream(keyword, value):
    ds, tag = Dataset(), Tag(keyword)
    ds[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value.encode(), 0, False, True)

    with quiet_pydicom():
        assert frame_rate(ds, Fraction(15)) == 15
        assert frame_rate(ds, None) == DEFAULT_RATE


@given(st.permutations(range(12)), st.sampled_from([Fraction(25), NTSC, Fraction(7, 3)]))
def test_frames_get_their_times_in_the_order_in_which_they_are_shown(order, rate):
    packets = [Packet(100 * number, 100) for number in range(12)]
    shown = [packets[number].position for number in order]

    stamps = time_stamps(packets, shown, rate)

    assert stamps is not None
    first = min(pts for pts, _ in stamps)
    by_position = dict(zip((packet.position for packet in packets), stamps, strict=True))
    for number, position in enumerate(shown):
        exact = number * TICKS / rate
        assert exact - 1 < by_position[position][0] - first <= exact
    decoding = [dts for _, dts in stamps]
    assert decoding == sorted(set(decoding))
    assert all(pts >= dts for pts, dts in stamps)


def test_pictures_that_are_not_one_to_one_with_packets_get_no_times():
    packets = [Packet(0, 10), Packet(10, 10), Packet(20, 10)]

    assert time_stamps(packets, [0, 20], NTSC) is None
    assert time_stamps(packets, [0, 10, 10], NTSC) is None
    assert time_stamps(packets, [0, 10, 30], NTSC) is None

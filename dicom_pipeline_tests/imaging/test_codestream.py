import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.imaging.codestream import jpeg2000_header, jpeg_header, jpeg_length
from dicom_pipeline_tests.imaging.images import (
    COLUMNS,
    ROWS,
    htj2k,
    j2k,
    jls,
    jpeg,
    jpeg_without_app_segments,
    noise,
)

GREY = noise("u1", 0, 255)
GREY16 = noise("u2", 0, 65535)
COLOUR = noise("u1", 0, 255, colour=True)
FRAMES = [
    jpeg(GREY),
    jpeg(COLOUR),
    jls(GREY16),
    jls(COLOUR),
    j2k(GREY16),
    j2k(COLOUR, mct=True),
    htj2k(GREY),
]


def test_baseline_jpeg_is_described():
    header = jpeg_header(jpeg(COLOUR))

    assert header is not None
    assert (header.sof, header.precision, header.rows, header.columns) == (0xC0, 8, ROWS, COLUMNS)
    assert header.components == 3
    assert header.jfif
    assert not header.lossless
    assert not header.jpeg_ls


@pytest.mark.parametrize("predictor", [1, 6, 7])
def test_lossless_jpeg_names_its_predictor_and_precision(predictor):
    header = jpeg_header(jpeg(GREY16, lossless=True, predictor=predictor, bitspersample=16))

    assert header is not None
    assert header.lossless
    assert (header.precision, header.selection, header.point_transform) == (16, predictor, 0)


def test_jpeg_ls_tells_interleave_and_near():
    by_sample, by_plane = jpeg_header(jls(COLOUR)), jpeg_header(jls(COLOUR, planar=True))
    lossy = jpeg_header(jls(GREY, near=3))

    assert by_sample is not None
    assert by_plane is not None
    assert lossy is not None
    assert by_sample.jpeg_ls
    assert by_sample.scan_components == 3
    assert by_plane.scan_components == 1
    assert (by_sample.selection, lossy.selection) == (0, 3)


def test_the_layout_of_a_codestream_is_that_of_its_samples_not_of_their_coding():
    six, seven, shallow = (
        jpeg_header(jpeg(pixels, lossless=True, predictor=predictor, bitspersample=bits))
        for pixels, predictor, bits in ((GREY16, 6, 16), (GREY16, 7, 16), (GREY16 >> 4, 6, 12))
    )
    unsigned, signed = jpeg2000_header(j2k(GREY16)), jpeg2000_header(j2k(noise("i2", -9, 9)))

    assert six is not None
    assert seven is not None
    assert shallow is not None
    assert unsigned is not None
    assert signed is not None
    assert six != seven
    assert six.layout == seven.layout
    assert six.layout != shallow.layout
    assert unsigned.layout == unsigned._replace(reversible=False).layout
    assert unsigned.layout != signed.layout


@pytest.mark.parametrize(
    ("label", "meant"), [("RGB", "RGB"), ("YBR_FULL", "YCBCR"), ("YBR_FULL_422", "YCBCR")]
)
def test_without_a_marker_the_label_settles_the_colour(label, meant):
    header = jpeg_header(jpeg_without_app_segments(jpeg(COLOUR)))

    assert header is not None
    assert header.adobe_transform is None
    assert header.colour(label) == meant


def test_jfif_and_adobe_markers_overrule_the_label():
    jfif = jpeg_header(jpeg(COLOUR))
    adobe = jpeg_header(jpeg(COLOUR, colorspace="RGB", outcolorspace="RGB"))

    assert jfif is not None
    assert adobe is not None
    assert jfif.colour("RGB") == "YCBCR"
    assert adobe.adobe_transform == 0
    assert adobe.colour("YBR_FULL") == "RGB"


def test_jpeg_2000_and_htj2k_are_described():
    grey, colour, signed = (
        jpeg2000_header(j2k(GREY16)),
        jpeg2000_header(j2k(COLOUR, mct=True)),
        jpeg2000_header(j2k(noise("i2", -2000, 2000))),
    )
    high_throughput = jpeg2000_header(htj2k(GREY))

    assert grey is not None
    assert colour is not None
    assert signed is not None
    assert high_throughput is not None
    assert (grey.rows, grey.columns, grey.components, grey.precision) == (ROWS, COLUMNS, 1, 16)
    assert grey.reversible
    assert not grey.signed
    assert colour.multiple_component_transform
    assert signed.signed
    assert high_throughput.precision == 8


@pytest.mark.parametrize("encode", [jpeg, jls])
@pytest.mark.parametrize("behind", [b"", b"\0", b"\xff", b"\0\0\0", b"left\xffhere", b"\xff\xd9"])
def test_a_frame_ends_with_its_end_marker_whatever_is_behind_it(encode, behind):
    frame = encode(GREY)

    assert jpeg_length(frame + behind) == len(frame)


@pytest.mark.parametrize("encode", [jpeg, jls])
@pytest.mark.parametrize("behind", [b"", b"\0", b"\xff", b"left here"])
def test_a_frame_without_its_end_marker_has_no_end(encode, behind):
    assert not jpeg_length(encode(GREY)[:-2] + behind)


def test_the_end_of_another_image_is_not_the_end_of_this_one():
    assert not jpeg_length(jpeg(GREY)[:-2] + jpeg(GREY))


def test_an_end_marker_inside_a_segment_is_none():
    comment = b"\xff\xfe\0\x06\xff\xd9\xff\xd9"
    frame = jpeg(GREY)

    assert jpeg_length(frame[:2] + comment + frame[2:]) == len(frame) + len(comment)


@given(st.binary(max_size=400))
def test_any_bytes_give_a_header_or_none(garbage):
    for start in (b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\x4f\xff\x51"):
        jpeg_header(start + garbage)
        jpeg2000_header(start + garbage)
        jpeg_length(start + garbage)


@given(st.sampled_from(FRAMES), st.data())
def test_a_cut_or_damaged_frame_gives_a_header_or_none(frame, data):
    cut = data.draw(st.integers(0, min(len(frame), 700)))
    damaged = bytearray(frame[:cut])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    jpeg_header(bytes(damaged))
    jpeg2000_header(bytes(damaged))


def test_headers_do_not_depend_on_the_scan():
    frame = jpeg(GREY)
    cut = frame[: frame.index(b"\xff\xda") + 20]

    assert jpeg_header(cut) == jpeg_header(frame)

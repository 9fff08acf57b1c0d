import io
import zlib

import av
from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.imaging.video.transport_stream import (
    START,
    AccessUnit,
    _crc,
    write_transport_stream,
)
from dicom_pipeline_tests.imaging.video.clips import FRAMES, clip

PACKET = 188


def written(units):
    file = io.BytesIO()
    write_transport_stream(units, file)
    return file.getvalue()


def payloads(stream):
    """What each access unit's packets carry, and the packets' counters."""
    units, counters = [], []
    for at in range(2 * PACKET, len(stream), PACKET):
        packet = stream[at : at + PACKET]
        assert packet[0] == 0x47
        counters.append(packet[3] & 0x0F)
        begin = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        if packet[1] & 0x40:
            units.append(b"")
        units[-1] += packet[begin:]
    return units, counters


@given(st.lists(st.binary(min_size=1, max_size=700), min_size=1, max_size=6))
def test_every_byte_arrives_whatever_the_lengths(contents):
    stream = written(
        AccessUnit(data, 3600 * number, 3600 * number) for number, data in enumerate(contents)
    )

    assert len(stream) % PACKET == 0
    units, counters = payloads(stream)
    assert [unit[19:] for unit in units] == contents  # behind the header with both times
    assert counters == [number % 16 for number in range(len(counters))]


def test_another_program_reads_packets_and_times_back():
    with av.open(io.BytesIO(clip("h264-stream"))) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    units = [AccessUnit(data, 7200 + 3003 * n, 3003 * n) for n, data in enumerate(packets)]

    with av.open(io.BytesIO(written(units)), format="mpegts") as file:
        read = [packet for packet in file.demux(video=0) if packet.size]
        assert not any(packet.is_corrupt for packet in read)

    assert [bytes(packet) for packet in read] == packets
    assert len(packets) == FRAMES
    times = [(packet.pts - START, packet.dts - START) for packet in read]
    assert times == [(unit.pts, unit.dts) for unit in units]


def test_a_time_stamp_wraps_like_a_clock_of_33_bits():
    late = (1 << 33) - START - 3600
    stream = written([AccessUnit(b"x", late + 7200, late)])

    (unit,), _ = payloads(stream)
    pts, dts = unit[9:14], unit[14:19]
    assert pts == bytes([0x31, 0, 1, 0x1C, 0x21])  # 3600 after the wrap
    assert dts == bytes([0x1F, 0xFF, 0xFF, 0xE3, 0xE1])  # 3600 before it


def test_the_checksum_is_the_plain_form_of_zlibs():
    def mirrored(value, bits):
        return int(f"{value:0{bits}b}"[::-1], 2)

    data = bytes(range(1, 40))
    expected = mirrored(zlib.crc32(bytes(mirrored(byte, 8) for byte in data)) ^ 0xFFFFFFFF, 32)

    assert _crc(data) == expected

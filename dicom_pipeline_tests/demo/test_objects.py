import pydicom

from dicom_pipeline.cli.sending import read_outgoing
from dicom_pipeline.demo.objects import bundled_objects, ct_series


def test_the_bundled_objects_have_many_transfer_syntaxes_and_kinds():
    bundled = bundled_objects()
    assert len(bundled) > 100
    assert len({one.transfer_syntax_uid for one in bundled}) >= 10
    assert len({one.sop_class_uid for one in bundled}) >= 10


def test_the_series_has_the_same_bytes_each_time(tmp_path):
    first = [path.read_bytes() for path in ct_series(tmp_path / "a", 3)]
    second = [path.read_bytes() for path in ct_series(tmp_path / "b", 3)]
    assert first == second
    assert len(set(first)) == 3


def test_a_series_that_is_there_is_not_written_again(tmp_path):
    before = [path.stat().st_mtime_ns for path in ct_series(tmp_path, 2)]
    assert [path.stat().st_mtime_ns for path in ct_series(tmp_path, 2)] == before


def test_a_slice_is_a_whole_ct_image_with_a_chinese_name(tmp_path):
    (path,) = ct_series(tmp_path, 1)
    ds = pydicom.dcmread(path)
    assert ds.pixel_array.shape == (512, 512)
    assert ds.PatientName.ideographic == "张^小东"
    outgoing = read_outgoing(path)
    assert outgoing is not None
    assert outgoing.sop_uid == ds.SOPInstanceUID

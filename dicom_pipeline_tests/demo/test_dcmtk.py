from dicom_pipeline.demo.dcmtk import accepted

OUTPUT = """\
I: Requesting Association
I: Association Accepted (Max Send PDV: 131060)
I: Sending file: /data/0001.dcm
I: Converting transfer syntax: Little Endian Explicit -> Little Endian Explicit
I: Sending Store Request (MsgID 1, CT)
XMIT: .......
I: Received Store Response (Success)
I: Sending file: /data/0002.dcm
I: Sending Store Request (MsgID 2, CT)
I: Received Store Response (Refused: OutOfResources)
I: Sending file: /data/0003.dcm
E: No presentation context for: (CT) 1.2.840.10008.5.1.4.1.1.2
I: Sending file: /data/0004.dcm
I: Received Store Response (Success)
I: Releasing Association
"""


def test_only_what_storescu_calls_successful_counts_as_sent():
    assert accepted(OUTPUT) == ["/data/0001.dcm", "/data/0004.dcm"]

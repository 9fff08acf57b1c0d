"""A double of an Apache Doris cluster for tests: its protocols and rules, not its engine.

It speaks the MySQL protocol and Stream Load over HTTP, refuses what Doris refuses (as far as its
documentation and source say), breaks on request, and keeps its rows in SQLite. It shows that the
product means the right thing and says it in the right way. It cannot show that Doris does it.
"""

from dicom_pipeline_tests.services.doris.cluster import DorisDouble

__all__ = ["DorisDouble"]

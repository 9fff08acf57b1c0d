"""A catalog of samples and a manifest root."""

import json
from pathlib import Path

from dicom_pipeline.catalog import Study
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.manifests.writing import Writer
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.catalog.samples import indexed, rendition

PHASES = 1024
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LS = "1.2.840.10008.1.2.4.80"


class Home:
    """What the stages have written, and what the manifests say of it."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.settings = Settings(_env_file=None, dicom_pipeline_home=folder, **changes)
        self.catalog = SqlCatalog(f"sqlite:///{folder / 'catalog.db'}")
        self.catalog.migrate()

    def object(self, sop_uid="1.4.1", *, version=1, patient=None, study=None, series=None, **image):
        """An object is indexed; the rest are columns of the levels."""
        item = indexed(sop_uid, version=version * PHASES)
        common = {"sop_class_uid": CT, "transfer_syntax_uid": EXPLICIT}
        self.catalog.index(
            [
                item._replace(
                    patient={**item.patient, **(patient or {})},
                    study={**item.study, **(study or {})},
                    series={**item.series, "modality": "CT", **(series or {})},
                    instance={**item.instance, **common, **image},
                )
            ]
        )

    def decision(self, sop_uid="1.4.1", *, version=1, **columns):
        """The rendition of an object is decided."""
        row = rendition(sop_uid, version=version * PHASES + 1)
        path = {"source_path": f"1.2/{sop_uid}.dcm"}
        self.catalog.record_renditions([{**row, **path, **columns}])

    def write(self):
        return [batch.counts for batch in Writer(self.settings, self.catalog).write_due()]

    def path(self, name: str) -> Path:
        return self.settings.manifests / "hospital" / name

    def manifest(self, study_uid="1.2"):
        """The study in its manifest, which is written first."""
        self.write()
        (study,) = json.loads(self.path(f"{study_uid}.json").read_bytes())["studies"]
        return study

    def entries(self, kind="series"):
        """The entries of the study's only series."""
        (series,) = self.manifest()[kind]
        return series["instances"]

    def listed(self):
        self.write()
        return json.loads(self.path("studies.json").read_bytes())

    def due(self) -> set[Study]:
        return {one.study for one in self.catalog.manifests_due(1000)}

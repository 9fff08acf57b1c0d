"""Java programs from Maven: their jars, in a cache of the user that outlives the tests."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_COPY = ("mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime")
_DOWNLOAD_SECONDS = 240

_PROJECT = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>tests</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


def cached_jars(name, group, artifact, version):
    """The folder with the jars of an artifact and of all it needs; downloaded once, by one process.

    The test is skipped when they cannot be had.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dicom-pipeline-tests" / f"{name}-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _download(folder, _PROJECT.format(group=group, artifact=artifact, version=version))
    return folder


def _download(folder, project):
    if not shutil.which("mvn"):
        pytest.skip(f"the jars of {folder.name} are not cached, and Maven is not installed")
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        Path(work, "pom.xml").write_text(project)
        try:
            subprocess.run(
                [*_COPY, f"-DoutputDirectory={work}/jars"],
                cwd=work,
                check=True,
                capture_output=True,
                timeout=_DOWNLOAD_SECONDS,
            )
        except subprocess.SubprocessError as error:
            pytest.skip(f"the jars of {folder.name} cannot be downloaded: {error}")
        Path(work, "jars").rename(folder)

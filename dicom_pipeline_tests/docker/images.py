"""The images, built from the working tree on a base that is made here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dicom_pipeline_tests.docker.engine import SEARCH_PATH, Engine, cache_folder
from dicom_pipeline_tests.services.kafka import VERSION
from dicom_pipeline_tests.services.maven import cached_jars

PROJECT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
BASE = "dicom-pipeline-base:bookworm"
SERVICES = "dicom-pipeline-test-services"
OURS = ("receiver", "dagster", "nginx")
PACKAGES = "python3,ca-certificates"
_PAGE = Path("viewer") / "dist"
_CA_FOLDER = Path("/usr/local/share/ca-certificates")
_BOOTSTRAP_SECONDS = 900


def build_all(engine: Engine, work: Path) -> None:
    """Base, our three images, and the one that stands for the servers' images."""
    make_base(engine)
    project = project_context(work / "project")
    index = {name: os.environ[name] for name in ("PIP_INDEX_URL",) if os.environ.get(name)}
    for name in OURS:
        file, tag = f"docker/{name}.Dockerfile", f"dicom-pipeline-{name}"
        more = {"BASE_IMAGE": BASE, **(index if name != "nginx" else {})}
        if name != "nginx":  # the stage with the packages is kept by its name
            engine.build(project, file, f"{tag}-build", "--target=build", **more)
        engine.build(project, file, tag, **more)
    services = services_context(work / "services")
    engine.build(services, "services.Dockerfile", SERVICES, BASE_IMAGE=BASE)
    engine.docker("image", "prune", "--force")


def make_base(engine: Engine) -> None:
    """Import a Debian made by debootstrap, unless the engine's cache has it."""
    if engine.docker("images", "--quiet", BASE).strip():
        return
    root = cache_folder() / "base"
    shutil.rmtree(root, ignore_errors=True)
    try:
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)],
            check=True,
            capture_output=True,
            timeout=_BOOTSTRAP_SECONDS,
            env={**os.environ, "PATH": SEARCH_PATH},
        )
    except subprocess.SubprocessError as error:
        pytest.skip(f"debootstrap cannot make a base image: {error}")
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packed:
        engine.docker("import", "-", BASE, stdin=packed.stdout)
    shutil.rmtree(root)


def project_context(folder: Path) -> Path:
    """The working tree's own files as a build's context, with this machine's authorities."""
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    wanted = [".dockerignore", *(line[1:] for line in lines if line.startswith("!"))]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *wanted],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    if not (PROJECT / _PAGE).is_dir():
        pytest.skip("the viewer's page is not built: make viewer")
    shutil.copytree(PROJECT / _PAGE, folder / _PAGE)
    authorities = folder / "docker" / "ca-certificates"
    authorities.mkdir(exist_ok=True)
    for each in _CA_FOLDER.glob("*.crt"):
        shutil.copy2(each, authorities)
    return folder


def services_context(folder: Path) -> Path:
    """What services.Dockerfile is built from."""
    jars = cached_jars("kafka", "org.apache.kafka", "kafka_2.13", VERSION)
    shutil.copytree(jars, folder / "kafka")
    for name in ("services.Dockerfile", "kafka-broker-api-versions.sh"):
        shutil.copy2(HERE / name, folder)
    for each in HERE.glob("start-*"):
        shutil.copy2(each, folder)
    return folder

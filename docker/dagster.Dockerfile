# The Dagster side: code server, webserver, daemon, runs and the commands, one image for all.
#   docker build --file docker/dagster.Dockerfile --tag dicom-pipeline-dagster .
# The base is any Debian with Python 3.11 or newer.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS trusting
COPY docker/ca-certificates/ /usr/local/share/ca-certificates/
RUN rm -f /usr/local/share/ca-certificates/README.md && update-ca-certificates
# The libraries that bring a store of their own are told to use the system's.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt

FROM trusting AS build
# Given with --build-arg, these have pip's own meaning. Nothing of this stage but the environment
# is in the image.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_FIND_LINKS=/build/docker/wheels
WORKDIR /build
COPY docker/wheels/ docker/wheels/
COPY docker/build-venv docker/build.lock docker/dagster.lock docker/
RUN docker/build-venv packages docker/dagster.lock
COPY pyproject.toml hatch_build.py README.md LICENSE dagster.yaml ./
COPY sql/ sql/
COPY dicom_pipeline/ dicom_pipeline/
COPY receiver/ receiver/
RUN docker/build-venv project

FROM trusting AS dagster
RUN groupadd --gid 10001 dicom \
    && useradd --uid 10001 --gid dicom --no-create-home --home-dir /data/home \
       --shell /usr/sbin/nologin dicom \
    && install --directory --owner dicom --group dicom --mode 0700 \
       /data /data/home /data/storage /data/renditions /data/manifests
COPY --from=build /opt/dicom-pipeline/venv/ /opt/dicom-pipeline/venv/
COPY docker/entrypoint docker/probe docker/prepare docker/doris-users \
     docker/dagster.yaml docker/workspace.yaml /opt/dicom-pipeline/
ENV PATH=/opt/dicom-pipeline/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DICOM_PIPELINE_HOME=/data/home \
    DAGSTER_HOME=/data/home/dagster \
    STORAGE_ROOT=/data/storage \
    RENDITION_ROOT=/data/renditions \
    MANIFEST_ROOT=/data/manifests \
    DAGSTER_GRPC_TIMEOUT_SECONDS=180 \
    DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS=180
WORKDIR /data/home
USER 10001:10001
STOPSIGNAL SIGTERM
# What is healthy differs from part to part: compose.yaml has each one's check.
HEALTHCHECK NONE
ENTRYPOINT ["/opt/dicom-pipeline/entrypoint"]
CMD ["dicom-pipeline", "--help"]

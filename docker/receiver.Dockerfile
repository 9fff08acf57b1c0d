# The receiver alone: no Dagster, no SQL toolkit, no codecs.
#   docker build --file docker/receiver.Dockerfile --tag dicom-pipeline-receiver .
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
COPY docker/build-venv docker/build.lock docker/receiver.lock docker/
RUN docker/build-venv packages docker/receiver.lock
COPY pyproject.toml hatch_build.py README.md LICENSE dagster.yaml ./
COPY sql/ sql/
COPY dicom_pipeline/ dicom_pipeline/
COPY receiver/ receiver/
RUN docker/build-venv project

FROM trusting AS receiver
RUN groupadd --gid 10001 dicom \
    && useradd --uid 10001 --gid dicom --no-create-home --home-dir /data/home \
       --shell /usr/sbin/nologin dicom \
    && install --directory --owner dicom --group dicom --mode 0700 \
       /data /data/home /data/storage
COPY --from=build /opt/dicom-pipeline/venv/ /opt/dicom-pipeline/venv/
COPY docker/entrypoint docker/probe /opt/dicom-pipeline/
ENV PATH=/opt/dicom-pipeline/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DICOM_PIPELINE_HOME=/data/home \
    STORAGE_ROOT=/data/storage \
    RECEIVER_HOST=0.0.0.0 \
    RECEIVER_HTTP_HOST=0.0.0.0 \
    RECEIVER_HTTP_PORT=8104 \
    LOG_FORMAT=json
WORKDIR /data/home
USER 10001:10001
EXPOSE 11112 8104
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["/opt/dicom-pipeline/probe", "http://127.0.0.1:8104/healthz"]
ENTRYPOINT ["/opt/dicom-pipeline/entrypoint"]
CMD ["dicom-receiver"]

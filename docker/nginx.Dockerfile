# Nginx, the only part that the outside reaches. The viewer's page must have been built before.
#   make viewer
#   docker build --file docker/nginx.Dockerfile --tag dicom-pipeline-nginx .
# The base is any Debian.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS nginx
# Versions are those of the base's release: security updates come with a new build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
       ca-certificates libnginx-mod-stream nginx openssl \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 dicom \
    && useradd --uid 10001 --gid dicom --no-create-home --shell /usr/sbin/nologin dicom \
    && install --directory --owner dicom --group dicom --mode 0700 \
       /data /data/storage /data/renditions /data/manifests \
       /var/lib/dicom-pipeline-users /run/dicom-pipeline-nginx
COPY docker/ca-certificates/ /usr/local/share/ca-certificates/
RUN rm -f /usr/local/share/ca-certificates/README.md && update-ca-certificates
COPY docker/nginx/ /opt/dicom-pipeline/nginx/
COPY viewer/dist/ /opt/dicom-pipeline/viewer/
ENV NGINX_HOME=/run/dicom-pipeline-nginx \
    NGINX_USERS=/var/lib/dicom-pipeline-users \
    NGINX_TLS_CERTIFICATE=/etc/dicom-pipeline/tls/server.crt \
    NGINX_TLS_KEY=/etc/dicom-pipeline/tls/server.key \
    STORAGE_ROOT=/data/storage \
    RENDITION_ROOT=/data/renditions \
    MANIFEST_ROOT=/data/manifests \
    VIEWER_ROOT=/opt/dicom-pipeline/viewer
USER 10001:10001
EXPOSE 8443 8444 11112
# It ends when what it serves is done.
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/bin/bash", "-c", "</dev/tcp/127.0.0.1/8443 && </dev/tcp/127.0.0.1/11112"]
ENTRYPOINT ["/opt/dicom-pipeline/nginx/start"]

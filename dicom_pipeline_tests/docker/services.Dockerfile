# What the images of Kafka, MySQL, PostgreSQL and Redis stand for where none can be pulled: Debian's
# packages, and Kafka's jars. Entry points and tools are called by the same names and take the same
# variables as those that docker/compose.yaml uses.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
       default-jre-headless mariadb-server postgresql redis-server \
    && rm -rf /var/lib/apt/lists/* /var/lib/mysql /var/lib/postgresql/* \
    && groupmod --gid 999 redis && usermod --uid 999 redis
COPY kafka/ /opt/kafka/libs/
COPY start-kafka start-mysql start-postgres /usr/local/bin/
COPY kafka-broker-api-versions.sh /opt/kafka/bin/

"""A real Kafka broker (KRaft, one node) in a folder of its own.

Three listeners: plain for tests (everything is allowed), SASL over TLS with two users, and TLS with
client certificates. The fixtures: `kafka`, one broker for all tests of a process, and `kafka_url`,
an ``EVENT_LOG_URL`` on it whose topics no other test has.
"""

import logging
import shutil
import signal
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dicom_pipeline.cli.network import free_port
from dicom_pipeline_tests.services.maven import cached_jars
from dicom_pipeline_tests.services.server import ServerProcess, run_setup

VERSION = "4.1.0"
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
_START_SECONDS = 120
_STOP_SECONDS = 30

PASSWORD = "p@ss:w/r%d?&#"  # quoted in URLs, and easy to find where it must not be
USER = "pipeline"
"""May do everything."""
STRANGER = "stranger"
"""Is known, and may do nothing."""

_QUIET = logging.getLogger(f"{__name__}.client")
_QUIET.propagate = False

_CONFIGURATION = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},\
CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=200
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.cleaner.enable=false
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}" user_{stranger}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/
"""

_JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class KafkaBroker(ServerProcess):
    """A broker that can be stopped, killed and started again on the same ports and data."""

    name = "Kafka"
    start_seconds = _START_SECONDS
    dies_by = signal.SIGKILL

    def __init__(self, folder, jars):
        super().__init__(folder)
        self._program = [*_JAVA, "-cp", f"{jars}/*"]
        # A process dies with the thread that started it: this one lives as long as the broker.
        self._starter = ThreadPoolExecutor(1)
        names = ("plain", "sasl", "tls", "controller")
        self._ports = {name: free_port("127.0.0.1") for name in names}
        self.bootstrap = f"127.0.0.1:{self._ports['plain']}"
        """``host:port`` of the plain listener."""
        self.sasl_bootstrap = f"127.0.0.1:{self._ports['sasl']}"
        self.tls_bootstrap = f"127.0.0.1:{self._ports['tls']}"
        self.ca_file = folder / "ca.pem"
        """The authority that signed the broker's certificate."""
        self.client_file = folder / "client.pem"
        """Certificate and key of a client that may do everything."""
        self._settings = folder / "server.properties"
        self._admin = None
        self._prepare()

    def url(self, prefix=""):
        """The ``EVENT_LOG_URL`` of the plain listener; every topic's name gets the prefix."""
        return f"kafka://{self.bootstrap}" + (f"?topic_prefix={prefix}" if prefix else "")

    def sasl_url(self, user=USER, password=PASSWORD, **options):
        """The ``EVENT_LOG_URL`` of the listener with SASL over TLS."""
        options = {"ca": self.ca_file, **options}
        query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
        return f"kafka+ssl://{user}:{quote(password, safe='')}@{self.sasl_bootstrap}?{query}"

    def admin(self):
        """A client that may do everything, the same one until the next start."""
        return self._admin

    def delete_topics(self, *topics):
        """Delete them, by their full names, and wait until they are gone."""
        admin = self.admin()
        for deleted in admin.delete_topics(list(topics)).values():
            deleted.result(_STOP_SECONDS)
        deadline = time.monotonic() + _STOP_SECONDS
        while set(topics) & admin.list_topics(timeout=_STOP_SECONDS).topics.keys():
            assert time.monotonic() < deadline, "Kafka does not delete topics"

    def configure(self, topic, **settings):
        """Change a topic's configuration, as its administrators may."""
        entries = [
            ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for changed in self.admin().incremental_alter_configs([change]).values():
            changed.result(_STOP_SECONDS)

    def command(self):
        return [*self._program, "kafka.Kafka", str(self._settings)]

    def spawn(self):
        self._admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.max.ms": 200,
                "logger": _QUIET,
            }
        )
        return self._starter.submit(super().spawn).result()

    def answers(self):
        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _prepare(self):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        for path, certificate in (
            (self.folder / "broker.pem", authority.issue_cert("127.0.0.1", "localhost")),
            (self.client_file, authority.issue_cert("pipeline.localhost", common_name=USER)),
        ):
            path.write_bytes(_pem(certificate))
        self._settings.write_text(
            _CONFIGURATION.format(
                folder=self.folder,
                user=USER,
                stranger=STRANGER,
                password=PASSWORD,
                **self._ports,
            )
        )
        options = {
            "--cluster-id": CLUSTER,
            "--config": self._settings,
            "--add-scram": f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]",
        }
        run_setup(
            [*self._program, "kafka.tools.StorageTool", "format", *chain(*options.items())],
            _START_SECONDS,
        )


def _pem(certificate):
    """Key (as PKCS #8, which is all that Java reads) and certificate chain in one file."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + b"".join(
        each.bytes() for each in certificate.cert_chain_pems
    )


@contextmanager
def running_kafka(folder):
    """A broker in ``folder``; the test is skipped when it cannot be had."""
    if not shutil.which("java"):
        pytest.skip("Java is not installed")
    broker = KafkaBroker(folder, cached_jars("kafka", "org.apache.kafka", "kafka_2.13", VERSION))
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture(scope="session")
def kafka_broker():
    """The broker that all tests of this process share. Tests ask for `kafka`."""
    with (
        tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True) as folder,
        running_kafka(Path(folder)) as broker,
    ):
        yield broker


@pytest.fixture
def kafka(kafka_broker):
    """The shared broker; one that an earlier test has ended runs again."""
    if not kafka_broker.running():
        kafka_broker.start()
    return kafka_broker


@pytest.fixture
def kafka_url(kafka):
    """An ``EVENT_LOG_URL`` whose topics no other test has."""
    return kafka.url(f"test-{uuid.uuid4().hex[:12]}.")

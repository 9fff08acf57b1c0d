"""The event log on Kafka.

`KafkaEventLog` is the adapter; `url` reads ``EVENT_LOG_URL``; `topics` creates topics and tells how
existing ones differ from what is wanted. The client library is confluent-kafka (librdkafka).
"""

from dicom_pipeline.event_log.kafka.adapter import KafkaEventLog

__all__ = ["KafkaEventLog"]

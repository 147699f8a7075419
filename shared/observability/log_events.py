"""The name of every log line, `noun.past_participle`; mypy rejects any other."""

from typing import Literal

LogEvent = Literal[
    # process
    "service.started",
    "service.ready",
    "service.draining",
    "drain.cut_short",
    "service.stalled",
    "service.stopped",
    "task.failed",
    # Kafka
    "consumer.assigned",
    "consumer.idle",
    "consumer.rebuilt",
    "consumer.revoked",
    "kafka.unavailable",
    "producer.rebuilt",
    "producer.started",
    # Postgres
    "postgres.unavailable",
    "migration.applied",
    "migration.role_existed",
    # ingress
    "clock.differed",
    "request.failed",
    "request.refused",
    "request.repaired",
    "breaker.closed",
    "breaker.opened",
    "keys.loaded",
    "keys.stale",
    "reply.malformed",
    "reply.unexpected",
    "tenancy.malformed",
    # provisioner
    "batch.applied",
    "batch.fenced",
    "batch.refused",
    "event.dead_lettered",
    "event.departed",
    "event.expired",
    "event.foreign",
    "partition.halted",
    "partition.paused",
    "partition.resumed",
    "partition.started",
    "partition.stopped",
    "partition.waiting",
    "pending.refused",
    "reply.dropped",
    # notifier
    "mail.dropped",
    "mail.failed",
    "mail.postponed",
    "mail.sent",
    "mail_server.lost",
    "mail_server.reached",
    "notification.planned",
    "outcome.malformed",
]

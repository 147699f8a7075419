"""The two pumps: requests, of which a replica gets its share, and the tenancy topic.

The tenancy topic has one partition, so one replica copies it.

The group is shared by all replicas, so there may be as many as partitions; a replica without one
says so after two minutes (`consumer.idle`) and takes over when another one ends.
"""

from rollcall.kafka.pump import Pump, PumpOptions
from rollcall_provisioner.config import ProvisionerSettings
from rollcall_provisioner.partition import PartitionWorker
from rollcall_provisioner.tenancy_worker import TenancyWorker
from rollcall_provisioner.worker_context import BATCH_BYTES, BATCH_RECORDS, WorkerContext

QUEUED_BATCHES = 8
"""Full batches that a partition's feed holds; half of it is drained before it is refilled."""


def requests_pump(settings: ProvisionerSettings, context: WorkerContext) -> Pump:
    """The pump of the requests topic."""
    options = PumpOptions(
        topic=context.topics.requests,
        group_id=settings.group_id,
        max_queued_records=BATCH_RECORDS * QUEUED_BATCHES,
        max_queued_bytes=2 * BATCH_BYTES,
        drain_timeout_s=settings.provisioner_drain_s,
    )
    return Pump(settings, options, lambda partition: PartitionWorker(context, partition))


def tenancy_pump(settings: ProvisionerSettings, context: WorkerContext) -> Pump:
    """The pump of the tenancy topic; its group differs, so that it is balanced on its own."""
    topic = context.topics.tenancy
    options = PumpOptions(
        topic=topic,
        group_id=f"{settings.group_id}.tenancy",
        drain_timeout_s=settings.provisioner_drain_s,
        expects_partition=False,
    )
    return Pump(
        settings, options, lambda partition: TenancyWorker(context.database, topic, partition)
    )

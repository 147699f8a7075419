"""What the workers of all partitions of one process share."""

from dataclasses import dataclass, field
from typing import Final

from rollcall.events.topics import MEBIBYTE, Topics
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.producer import Producer
from rollcall.postgres.pool import Database
from rollcall.runtime.budget import Budget
from rollcall.runtime.lifecycle import FaultPoint
from rollcall_provisioner.attempts import StuckPositions

BUDGET_BYTES: Final = 256 * MEBIBYTE
"""Memory that the batches of a process take together: four parts of 64 MiB (`PART_BYTES`)."""
BATCH_RECORDS: Final = 500
"""Most requests in one transaction: the reply to the first of them waits for the last."""
BATCH_BYTES: Final = 4 * MEBIBYTE
"""Most bytes of requests taken at once, or one larger request: 64 MiB once they are Python objects
(`FACTOR`), which is one part (`PART_BYTES`)."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What all workers of the process share, and the bounds of a batch."""

    database: Database
    producer: Producer
    topics: Topics
    faults: FaultPoint
    batch_records: int = BATCH_RECORDS
    dead_letter_limit: int = 10
    budget: Budget = field(default_factory=lambda: Budget(BUDGET_BYTES))
    stuck: StuckPositions = field(default_factory=StuckPositions)
    outcomes: LogProbe | None = None
    """Reads from the outcomes what was decided before; None: that is not asked."""

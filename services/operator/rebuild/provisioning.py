"""The one door to the provisioner's own code: understand → load → fold → write.

A rebuild that had a copy of these steps would agree with itself and not with the service, so it
takes the service's. Nothing else of the operator imports a service.
"""

from services.provisioner.dead_letters import Place, audit_id
from services.provisioner.foreign import Homes, drop_departed
from services.provisioner.isolate import Manner, apply_at_once, apply_one_by_one
from services.provisioner.measure import assumed, load_sizes, needs_sizes, parts_of
from services.provisioner.understand import (
    Entry,
    drop_duplicates,
    drop_expired,
    runs,
    understand,
)
from services.provisioner.weight import Part

__all__ = [
    "Entry",
    "Homes",
    "Manner",
    "Part",
    "Place",
    "apply_at_once",
    "apply_one_by_one",
    "assumed",
    "audit_id",
    "drop_departed",
    "drop_duplicates",
    "drop_expired",
    "load_sizes",
    "needs_sizes",
    "parts_of",
    "runs",
    "understand",
]

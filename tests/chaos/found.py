"""What a deployment holds after a run: what the model judges. Pure; `look.py` fills it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.history import Endpoint, State

ResourceKey = tuple[str, str]
"""(organisation id, resource id)"""


@dataclass(frozen=True, slots=True)
class Logged:
    """One record of the requests topic. `token` is the trace id that its sender gave it."""

    partition: int
    offset: int
    append_ms: int
    accept_by_ms: int
    id: str
    organisation: str
    endpoint: Endpoint
    resource_id: str
    token: str
    is_promised: bool = False
    """Its sender is answered with the decision."""

    @property
    def is_in_time(self) -> bool:
        """Whether it may be applied."""
        return self.append_ms <= self.accept_by_ms


@dataclass(frozen=True, slots=True)
class Audited:
    """One row of the audit. `recorded_s` is when its transaction began, by the wall clock."""

    id: str
    organisation: str
    partition: int
    offset: int
    resource_id: str
    status: int
    recorded_s: float
    outcomes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of the directory."""

    version: str
    state: State


@dataclass(frozen=True, slots=True)
class Mail:
    """One file in the mailbox."""

    event_id: str
    kind: Literal["invitation", "revocation", "restoration"]
    recipient: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Disturbance:
    """When something was not well, by the wall clock, from its begin until it was well again."""

    target: str
    trouble: str
    from_s: float
    until_s: float


@dataclass(slots=True)
class Observed:
    """All of it."""

    log: list[Logged] = field(default_factory=list)
    """Partition by partition, in the order of offsets."""
    audit: list[Audited] = field(default_factory=list)
    """In the order of offsets in each partition."""
    persons: dict[ResourceKey, Stored] = field(default_factory=dict)
    groups: dict[ResourceKey, Stored] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Request id → `yes` or `perhaps`, as `rollcall refused list` tells it."""
    mails: list[Mail] = field(default_factory=list)
    announced: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)
    """(request id, index) → ids of the outcomes that were announced for it."""
    dead: int = 0
    halted: Sequence[str] = ()
    disturbances: Sequence[Disturbance] = ()

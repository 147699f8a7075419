"""What the caller of `rollcall up` may choose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rollcall_local.stack.errors import StackError

KafkaKind = Literal["external", "native", "docker"]


@dataclass(frozen=True, slots=True)
class Options:
    """The choices; `replicas`: service → how many of it."""

    data: Path
    kafka: Literal["auto", "external", "native", "docker"] = "auto"
    replicas: Mapping[str, int] = field(default_factory=dict)
    port: int | None = None
    restart: bool = True

    @property
    def kafka_kind(self) -> KafkaKind:
        """The kind that will be used. Raises StackError for `external` without an address."""
        address = os.environ.get("ROLLCALL_KAFKA_BOOTSTRAP")
        if self.kafka == "auto":
            return "external" if address else "native"
        if self.kafka == "external" and not address:
            raise StackError("--kafka external needs ROLLCALL_KAFKA_BOOTSTRAP", exit_code=2)
        return self.kafka

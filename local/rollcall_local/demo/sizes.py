"""How much the demo does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much the demo does. `absorbed` join while the provisioner is stopped."""

    joiners: int = 1000
    leavers: int = 100
    absorbed: int = 1000
    connections: int = 40
    stopped_s: float = 10.0

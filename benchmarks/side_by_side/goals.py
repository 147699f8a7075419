"""What Rollcall must reach beside its peers: a goal, and a floor below which the run fails.

A create at one client waits for an acknowledgement of the broker and for the provisioner; a peer
changes a map. So the goal there is half of a peer's rate, and everywhere else it is more than that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.side_by_side.rounds import Sample, Samples
from benchmarks.side_by_side.works import Work

Figure = Literal["rate", "CPU of the serving process"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to the best peer, of a work; more is better."""

    work: Work
    figure: Figure
    goal: float
    floor: float


GOALS: Final = (
    Goal(Work("create", 1), "rate", 0.5, 0.3),
    Goal(Work("create", 10), "rate", 2.0, 1.3),
    Goal(Work("create", 50), "rate", 2.5, 1.7),
    Goal(Work("get", 10), "CPU of the serving process", 3.0, 2.3),
    Goal(Work("filter", 10), "CPU of the serving process", 3.0, 2.2),
    Goal(Work("revoke", 10), "rate", 2.0, 1.4),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal and what was reached."""

    goal: Goal
    reached: float

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.reached >= self.goal.goal:
            return "reached"
        return "above the floor" if self.reached >= self.goal.floor else "missed"


def judge(samples: Samples, ours: str, peers: Sequence[str]) -> list[Judged]:
    """The goals of the works that were measured."""
    return [
        Judged(goal, samples.ratio(goal.work, ours, peers, _of(goal.figure)))
        for goal in GOALS
        if goal.work in samples.found
    ]


def _of(figure: Figure) -> Callable[[Sample], float]:
    if figure == "rate":
        return lambda sample: sample.rate
    return lambda sample: 1 / sample.serving_us

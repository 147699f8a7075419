"""What the last hour was like, from samples of positions: rates and what waits. Pure.

A sample has sums over all partitions of a topic: the records appended so far, and those applied so
far. Differences of two samples are rates. Where a log is replaced, sums fall; that gap has no rate.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

EVERY_S: Final = 15.0
KEPT_S: Final = 3600.0
STEP_S: Final = 300.0
"""A row of the table that stands in the place of the chart."""


@dataclass(frozen=True, slots=True)
class Sample:
    """At epoch seconds `at`: records appended and applied so far, and those that wait."""

    at: float
    appended: int
    applied: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Per second, up to epoch seconds `at`; None: not known."""

    at: float
    appended: float | None
    applied: float | None
    waiting: int


@dataclass(slots=True)
class Hour:
    """The samples of the last hour."""

    samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample) -> None:
        """Keep a sample, and forget those older than an hour."""
        self.samples.append(sample)
        while self.samples[0].at < sample.at - KEPT_S:
            self.samples.popleft()

    def rates(self) -> list[Rate]:
        """The rate up to each sample but the first."""
        found = list(self.samples)
        return [rate_between(one, two) for one, two in pairwise(found)]

    def steps(self) -> list[Rate]:
        """The same, roughly: a row for each five minutes, the latest first."""
        chosen: list[Sample] = []
        for sample in self.samples:
            if not chosen or sample.at - chosen[-1].at >= STEP_S:
                chosen.append(sample)
        if self.samples and chosen[-1] is not self.samples[-1]:
            chosen.append(self.samples[-1])
        return [rate_between(one, two) for one, two in pairwise(chosen)][::-1]


def rate_between(one: Sample, two: Sample) -> Rate:
    """Rates between two samples."""
    seconds = two.at - one.at
    return Rate(
        two.at,
        _rate(two.appended - one.appended, seconds),
        _rate(two.applied - one.applied, seconds),
        two.waiting,
    )


def series(rates: Sequence[Rate]) -> dict[str, list[float | None]]:
    """As a chart takes it: a list for each line, of the same length."""
    return {
        "at": [each.at for each in rates],
        "appended": [each.appended for each in rates],
        "applied": [each.applied for each in rates],
        "waiting": [each.waiting for each in rates],
    }


def _rate(change: int, seconds: float) -> float | None:
    return round(change / seconds, 2) if seconds > 0 and change >= 0 else None

"""Rounds: every server does every work, in turns, so that what a machine does meanwhile hits all.

A figure is the median of the rounds; a ratio is the median of the ratios *within* a round.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.side_by_side.works import Target, Work


@dataclass(frozen=True, slots=True)
class Server:
    """A server under measurement; `cpu()` is the CPU seconds used so far, by part of it."""

    name: str
    target: Target
    cpu: Callable[[], Mapping[str, float]]
    most_clients: int = 1_000
    """More than these it cannot take: it is left out of such works."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One work at one server in one round."""

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    pending: int
    cpu_us: Mapping[str, float]
    """CPU microseconds of a request, by part, the client among them."""

    @property
    def serving_us(self) -> float:
        """CPU of the process that answers."""
        return self.cpu_us["ingress" if "ingress" in self.cpu_us else "server"]

    @property
    def total_us(self) -> float:
        """CPU of all parts but the client."""
        return sum(spent for part, spent in self.cpu_us.items() if part != "client")


@dataclass(slots=True)
class Samples:
    """All rounds: work → server's name → its samples, one for each round."""

    found: dict[Work, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, work: Work, server: str, sample: Sample) -> None:
        """Note one sample."""
        self.found.setdefault(work, {}).setdefault(server, []).append(sample)

    def median(self, work: Work, server: str, of: Callable[[Sample], float]) -> float:
        """The median of the rounds."""
        return statistics.median(of(each) for each in self.found[work][server])

    def ratio(
        self, work: Work, server: str, peers: Sequence[str], of: Callable[[Sample], float]
    ) -> float:
        """How many times the best of the peers (of each round) `server` reaches; the median."""
        by_server = self.found[work]
        return statistics.median(
            of(mine) / max(of(by_server[peer][number]) for peer in peers if peer in by_server)
            for number, mine in enumerate(by_server[server])
        )


async def measure(server: Server, work: Work, seconds: float, revocations: int) -> Sample:
    """One work at one server."""
    await server.target.prepare(work, revocations)
    gc.collect()
    before, began = dict(server.cpu()), time.process_time()
    load = await server.target.run(work, seconds)
    after, client_s = server.cpu(), time.process_time() - began
    answers = max(1, len(load.seconds))
    spent = {part: (after[part] - before[part]) / answers * 1e6 for part in before}
    return Sample(
        rate=len(load.seconds) / load.wall_s,
        p50_ms=load.percentile_ms(50),
        p99_ms=load.percentile_ms(99),
        failed=load.failed,
        pending=load.pending,
        cpu_us={**spent, "client": client_s / answers * 1e6},
    )


async def play(
    servers: Sequence[Server],
    works: Sequence[Work],
    *,
    rounds: int,
    seconds: float,
    revocations: int,
) -> Samples:
    """All rounds; prints each sample as it is measured."""
    samples = Samples()
    for number in range(rounds):
        for work in works:
            # Another server begins in each round.
            able = [each for each in servers if work.clients <= each.most_clients]
            turn = number % len(able)
            for server in [*able[turn:], *able[:turn]]:
                sample = await measure(server, work, seconds, revocations)
                samples.add(work, server.name, sample)
                print(f"round {number + 1}  {work!s:20} {server.name:22} {_line(sample)}")
    return samples


def _line(sample: Sample) -> str:
    cpu = ", ".join(f"{part} {spent:.0f}" for part, spent in sample.cpu_us.items())
    return (
        f"{sample.rate:7.0f}/s  p50 {sample.p50_ms:7.2f} ms  p99 {sample.p99_ms:7.2f} ms  "
        f"failed {sample.failed}  pending {sample.pending}  CPU µs {cpu}"
    )

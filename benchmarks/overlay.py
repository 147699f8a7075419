"""The cost of the overlay: microseconds per accepted request, and per look-up with 10,000 in it.

    python -m benchmarks.overlay

CPU time of one core, without Kafka and Postgres. A look-up is select + fold + find over an empty
directory, which is what ingress adds to its statement to Postgres.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from rollcall.directory.state import State
from rollcall.events.request import MemberDelta, Request
from rollcall_ingress.behind import selecting
from rollcall_ingress.behind.accepted import Prepared, prepare
from rollcall_ingress.behind.overlay import Bounds, Overlay
from rollcall_ingress.behind.selecting import Loaded, Target
from tests.support.builders import ORGANISATION, a_request, an_id, create

REQUESTS: Final = 10_000
GROUP: Final = an_id(900_000)
LOOK_UPS: Final = 200
APPENDED_MS: Final = 1_764_057_600_000
LARGE: Final = 128_000


def main() -> None:
    """Print one line per figure."""
    people = [create(n, f"user-{n}@example.org", externalId=f"e-{n}") for n in range(REQUESTS)]
    crew = a_request("group.create", GROUP, 900_001, resource={"displayName": "Crew"})
    joins = [
        a_request(
            "group.patch",
            GROUP,
            900_002 + start,
            members=MemberDelta(add=tuple(an_id(start + each) for each in range(100))),
        )
        for start in range(0, REQUESTS, 100)
    ]
    overlay = Overlay(Bounds(requests=1_000_000, bytes=1 << 30))

    began_s = time.process_time()
    for offset, request in enumerate(people):
        accept(overlay, request, offset)
    tell("accept a create", (time.process_time() - began_s) / REQUESTS)
    print(f"{'bytes of a create in the overlay':<52}{overlay.size_bytes // REQUESTS:>10}")
    began_s = time.process_time()
    for offset, request in enumerate([crew, *joins], REQUESTS):
        accept(overlay, request, offset)
    tell("accept a group's PATCH of 100 members", (time.process_time() - began_s) / len(joins))

    for what, target in (
        ("User by id, with groups", Target(ORGANISATION, "Users", "id", an_id(77), True)),
        ("User by id, without groups", Target(ORGANISATION, "Users", "id", an_id(77))),
        ("User by userName", Target(ORGANISATION, "Users", "userName", "user-77@example.org")),
        ("User by userName, a miss", Target(ORGANISATION, "Users", "userName", "nobody")),
    ):
        tell(f"look up a {what}", timed(partial(look_up, overlay, target), LOOK_UPS))
    of_group = Target(ORGANISATION, "Groups", "id", GROUP)
    tell("look up a Group of 10,000 pending members", timed(lambda: look_up(overlay, of_group), 3))
    tell("ask for a pending userName", timed(lambda: pending(overlay), 10_000))

    large = a_request(
        "group.patch",
        GROUP,
        990_000,
        members=MemberDelta(add=tuple(an_id(each) for each in range(LARGE))),
    )
    tell("prepare a 5 MB group (in a thread)", timed(lambda: prepare(large), 5))
    prepared = prepare(large)
    tell("accept it", timed(lambda: take(overlay, prepared), 1))
    began_s = time.process_time()
    overlay.applied(3, 2 * REQUESTS)
    tell("drop one that is applied", (time.process_time() - began_s) / REQUESTS)


def accept(overlay: Overlay, request: Request, offset: int) -> None:
    """Everything that a write does with the overlay."""
    prepared = prepare(request)
    overlay.begin(prepared.request)
    overlay.accept(prepared, 3, offset, APPENDED_MS)


def take(overlay: Overlay, prepared: Prepared) -> None:
    """Only the part that cannot be done in a thread."""
    overlay.accept(prepared, 3, 2 * REQUESTS - 1, APPENDED_MS)


def look_up(overlay: Overlay, target: Target) -> None:
    """A look-up over an empty directory, with no request applied yet."""
    selection, nodes = selecting.begin(overlay, target)
    for _ in selection.extend(overlay, nodes):
        continue
    selecting.wanted(selection, ())
    loaded = Loaded(State(ORGANISATION), 0)
    selecting.fold_over(loaded, selection.ordered())
    selecting.find(loaded, target)


def pending(overlay: Overlay) -> None:
    """The check before a create is published."""
    overlay.has_pending_name(ORGANISATION, "user-77@example.org")


def timed(work: Callable[[], object], times: int) -> float:
    """Seconds of one call, the mean of `times`."""
    began_s = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began_s) / times


def tell(what: str, seconds: float) -> None:
    """One line: what, microseconds."""
    print(f"{what:<52}{seconds * 1e6:>10.1f} µs")


if __name__ == "__main__":
    main()

"""Outcomes → what happens to the rows of `notice.notification`. Pure; the rules are in `judge.py`.

A batch of outcomes becomes layers, done in their order: a layer's notices are inserted, then the
members in its endings lose their open ones. Most batches are one layer, however many members they
speak of: a second one begins only where a member has a notice again after an ending.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from rollcall.events.outcome import Announcement, Fact
from rollcall.postgres.notification import Ending, Notice
from rollcall_notifier.judge import Kind

_KIND_OF: Final[dict[Fact, Kind]] = {
    "member.invited": "invitation",
    "member.revoked": "revocation",
    "member.restored": "restoration",
}


@dataclass(slots=True)
class Layer:
    """Notices to insert unless they are known, then endings."""

    notices: list[Notice] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)


def plan(
    announcements: Iterable[Announcement], *, partition: int, grace_s: float, settle_s: float = 0
) -> tuple[Layer, ...]:
    """The layers for these outcomes of one partition, in their order.

    `grace_s`: the wait of an invitation; `settle_s`: that of everything else.
    """
    layers: list[Layer] = []
    depth: defaultdict[tuple[str, str], int] = defaultdict(int)
    for announcement in announcements:
        outcome = announcement.outcome
        member = (outcome.organisation_id, outcome.resource_id)
        notice = _notice(announcement, partition, grace_s, settle_s)
        is_removal = outcome.fact == "member.removed"
        if notice is None and not is_removal:
            continue
        if depth[member] == len(layers):
            layers.append(Layer())
        layer = layers[depth[member]]
        if notice is not None:
            layer.notices.append(notice)
        if is_removal or outcome.fact == "member.revoked":
            layer.endings.append(Ending(*member, None if is_removal else announcement.request_id))
            depth[member] += 1
    return tuple(layers)


def _notice(
    announcement: Announcement, partition: int, grace_s: float, settle_s: float
) -> Notice | None:
    outcome = announcement.outcome
    kind = _KIND_OF.get(outcome.fact)
    if kind is None:
        return None
    wait = timedelta(seconds=grace_s if kind == "invitation" else settle_s)
    before = outcome.detail.get("from") if kind == "revocation" else None
    return Notice(
        event_id=announcement.request_id,
        kind=kind,
        organisation_id=outcome.organisation_id,
        member_id=outcome.resource_id,
        partition=partition,
        sequence=announcement.sequence,
        event_time=announcement.time,
        due_at=announcement.time + wait,
        detail={"from": before} if isinstance(before, str) else {},
    )

"""A recorded log folded by the pure core alone, as bytes. No test in here.

    python -m tests.support.fold_recorded LOG

It needs no more than the core does, so that any Python with those two libraries can run it.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.state import Group, Member, State
from rollcall.directory.touch import touches
from rollcall.events.envelope import decode, format_time, from_milliseconds
from rollcall.events.outcome import to_data
from rollcall.events.request import Request, from_event

Json = dict[str, Any]


def read(log: Path) -> list[tuple[Request, datetime]]:
    """The requests of a recorded log that count, with their append times: no copies, none late."""
    found: dict[str, tuple[Request, datetime]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        headers = [(name, text.encode()) for name, text in record["headers"].items()]
        request = from_event(decode(headers, json.dumps(record["value"]).encode()))
        if request.accept_by_ms is not None and record["timestamp"] > request.accept_by_ms:
            continue
        found.setdefault(request.id, (request, from_milliseconds(record["timestamp"])))
    return list(found.values())


def fold(log: Path) -> bytes:
    """Everything that the log leads to: rows, memberships, outcomes, statuses."""
    batch = read(log)
    states = {}
    for organisation_id, touch in touches([request for request, _ in batch]).items():
        state = State(organisation_id)
        for member_id in touch.members_with_groups:
            state.groups_of[member_id] = set()
        for group_id in touch.whole_groups:
            state.complete_groups.add(group_id)
            state.memberships.setdefault(group_id, set())
        states[organisation_id] = state
    folded = fold_batch(states, batch)
    result = {
        "decisions": [_decision(each) for each in folded],
        "directories": {key: _directory(states[key]) for key in sorted(states)},
    }
    return json.dumps(result, sort_keys=True, ensure_ascii=False, indent=1).encode()


def _decision(folded: Folded) -> Json:
    if folded.decision is None:
        return {"error": type(folded.error).__name__}
    return {
        "status": folded.decision.verdict.status,
        "scim_type": folded.decision.verdict.scim_type,
        "outcomes": [[each.fact, to_data(each)] for each in folded.decision.outcomes],
    }


def _directory(state: State) -> Json:
    return {
        "members": [_row(state.members[key]) for key in sorted(state.members)],
        "groups": [_row(state.groups[key]) for key in sorted(state.groups)],
        "memberships": {
            key: sorted(members) for key, members in sorted(state.memberships.items()) if members
        },
    }


def _row(resource: Member | Group) -> Json:
    found: Json = {
        "id": resource.id,
        "version": resource.version,
        "created": format_time(resource.created),
        "last_modified": format_time(resource.last_modified),
        "external_id": resource.external_id,
        # Not sorted: the order of the attributes is part of what Postgres is given.
        "document": json.dumps(resource.resource, ensure_ascii=False),
    }
    if isinstance(resource, Member):
        found["status"] = resource.status.value
        found["user_name_key"] = resource.user_name_key
        found["invitation_id"] = resource.invitation_id
    else:
        found["display_name_key"] = resource.display_name_key
    return found


if __name__ == "__main__":
    sys.stdout.buffer.write(fold(Path(sys.argv[1])))

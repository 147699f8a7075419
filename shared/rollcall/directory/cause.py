"""The cause of a dead create: a digest that is the same when an identity provider sends it again.

An identity provider repeats a create that was answered with 500, and each repeat has new ids. What
the repeats share is the unique name, normalised as the directory does it, and the content. The
order of attributes and of values does not count as content (RFC 7643 §2.4: the values of a
multi-valued attribute have no order), and neither does an `active: true`, which is the default.
"""

import hashlib
from typing import Any, Final

import orjson

from rollcall.directory import rules
from rollcall.directory.quarantine import Event, Quarantine
from rollcall.events.bodies import Create, Endpoint, Incomplete
from rollcall.events.request import Request

NAMES: Final[dict[Endpoint, str]] = {"Users": "userName", "Groups": "displayName"}
"""The attribute of a create that is compared by its key."""


def cause_of(event: Event) -> str | None:
    """A digest of the name and content of a create; None where no repeat can be recognised."""
    if not isinstance(event, Request) or not rules.knows_repeats(event.rules):
        return None
    match event.body:
        case Create(content, key, delta) | Incomplete(True, content, str() as key, delta):
            pass
        case _:
            return None
    if content is not None:
        content = {"active": True, **content} if event.is_member else dict(content)
        content.pop(NAMES[event.endpoint], None)
    members = None if delta is None else sorted(delta.add)
    try:
        written = orjson.dumps(_in_order([event.endpoint, key, [content], [members]]))
    except (TypeError, RecursionError):  # deeper than anything that ingress accepts
        return None
    return hashlib.sha256(written).hexdigest()


def repeated(quarantines: "dict[Any, Quarantine]", event: Event) -> str | None:
    """The id of the dead event that `event` repeats, or None."""
    if not any(each.cause for each in quarantines.values()):
        return None
    cause = cause_of(event)
    if cause is None:
        return None
    return next((each.dead_id for each in quarantines.values() if each.cause == cause), None)


def different(quarantines: "dict[Any, Quarantine]") -> int:
    """The number of different causes in quarantine."""
    return len({each.cause or each.dead_id for each in quarantines.values()})


def _in_order(value: Any) -> Any:
    """Sort names and values, so that the order in which they were sent does not matter."""
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return sorted(map(_in_order, value), key=orjson.dumps)
    return value

"""The cause of a dead create: what is the same when an identity provider sends it again.

A create that is answered 500 is sent again, and each repeat has ids of its own. What it has in
common with the first is the unique name, as the directory folds it, and the content. The order in
which attributes and values stand is not content (RFC 7643 §2.4: a multi-valued attribute has no
order), nor is an `active` that says what is so anyway.
"""

import hashlib
from typing import Any, Final

import orjson

from rollcall.directory import rules
from rollcall.directory.quarantine import Event, Quarantine
from rollcall.events.request import Kind, Request

NAMES: Final[dict[Kind, str]] = {"member.create": "userName", "group.create": "displayName"}
"""Kinds that have a cause, and the attribute that is compared by its key."""


def cause_of(event: Event) -> str | None:
    """A digest of the name and the content of a create; None: its cause is its own alone."""
    if not isinstance(event, Request) or not rules.knows_repeats(event.rules):
        return None
    name = NAMES.get(event.kind)
    if name is None:
        return None
    key = event.user_name_key if event.is_member else event.display_name_key
    if key is None:
        return None
    content = event.resource
    if content is not None:
        content = {"active": True, **content} if event.is_member else dict(content)
        content.pop(name, None)
    members = None if event.members is None else sorted(event.members.add)
    try:
        written = orjson.dumps(_in_order([event.endpoint, key, [content], [members]]))
    except (TypeError, RecursionError):  # deeper than anything that ingress lets through
        return None
    return hashlib.sha256(written).hexdigest()


def repeated(quarantines: "dict[Any, Quarantine]", event: Event) -> str | None:
    """The id of the dead event that `event` is a repeat of, if it is one."""
    if not any(each.cause for each in quarantines.values()):
        return None
    cause = cause_of(event)
    if cause is None:
        return None
    return next((each.dead_id for each in quarantines.values() if each.cause == cause), None)


def different(quarantines: "dict[Any, Quarantine]") -> int:
    """How many different causes are in quarantine."""
    return len({each.cause or each.dead_id for each in quarantines.values()})


def _in_order(value: Any) -> Any:
    """Names and values in an order that does not depend on how they were sent."""
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return sorted(map(_in_order, value), key=orjson.dumps)
    return value

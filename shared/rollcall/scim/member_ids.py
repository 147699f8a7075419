"""The ids in a value of a group's `members` (RFC 7643 §4.2).

A member whose id cannot be read is never skipped. It would lose access, or keep access that was to
be removed, while the answer says that everything was done. So the whole value is refused.
"""

import re
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from rollcall.scim import quirks
from rollcall.scim.body.json_body import fold_names, small_letters
from rollcall.scim.errors import InvalidValue
from rollcall.scim.limits import MAX_MEMBERS
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Attribute
from rollcall.scim.values import check_text, refuse_kind, refuse_unknown

_PLAIN_ID = re.compile(r"[0-9A-Za-z-]{1,36}")
_NO_ID = re.compile(r"[,;|\[\]{}<>\"]|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""A list, or a text that contains an id. Any other text that is not one of our ids names no one."""
_WANTED = "a list of objects with `value`"
_UUID = 36
_BARE_UUID = 32
"""Characters of a UUID without hyphens."""


@dataclass(frozen=True, slots=True)
class MemberIds:
    """The ids, each once, in order; and those that are marked as deleted, as in SCIM 1."""

    named: tuple[str, ...]
    deleted: tuple[str, ...] = ()


def canonical_member_ids(attribute: Attribute, value: Any, repairs: Repairs) -> tuple[str, ...]:
    """The ids in the `members` of a resource, each once, in order.

    Raises InvalidValue for a value that is not a list of references, for a member without a
    readable id, for one that is marked as deleted, and for too many.
    """
    ids = read_member_ids(attribute, value, repairs)
    if ids.deleted:
        raise InvalidValue(
            "members: leave out who is not to be a member, or remove them by a PATCH.",
            attribute=attribute.path,
        )
    return ids.named


def read_member_ids(attribute: Attribute, value: Any, repairs: Repairs) -> MemberIds:
    """Like `canonical_member_ids`, for a PATCH: understands SCIM 1's `"operation": "delete"`."""
    if type(value) is not list:
        value = quirks.repair_list(attribute, value, repairs)
        if type(value) is not list:
            refuse_kind(attribute, _WANTED)
    if len(value) > MAX_MEMBERS:
        raise InvalidValue(
            f"{attribute.path} has more than {MAX_MEMBERS} elements; send them in parts by PATCH.",
            attribute=attribute.path,
        )
    named: dict[str, None] = {}
    deleted: dict[str, None] = {}
    plain = _PLAIN_ID.fullmatch
    for element in value:
        # Nearly all elements already have the form that `member_id` returns, and there may be
        # 100,000 of them.
        if type(element) is dict and element.keys() <= attribute.subs.keys():
            given = element.get("value")
            if type(given) is str and plain(given) and len(given) != _BARE_UUID:
                named[given] = None
                continue
        element_id, is_deleted = _read_element(attribute, element, repairs)
        (deleted if is_deleted else named)[element_id] = None
    for element_id in deleted:
        named.pop(element_id, None)
    return MemberIds(tuple(named), tuple(deleted))


def _read_element(attribute: Attribute, element: Any, repairs: Repairs) -> tuple[str, bool]:
    """The id in one element, and whether it is marked as deleted."""
    if type(element) is not dict:
        element = quirks.repair_complex(attribute, element, repairs)
        if type(element) is not dict:
            refuse_kind(attribute, _WANTED)
    fields = fold_names(element)
    is_deleted = False
    for name, item in element.items():
        if attribute.sub(name) is not None:
            continue
        if small_letters(name) == "operation" and repairs.lenient and item is not None:
            is_deleted = _is_deletion(item, repairs)
        else:
            refuse_unknown(f"{attribute.path}.{name}", repairs)
    value = fields.get("value")
    if value is None:
        value = quirks.repair_reference(fields.get("$ref"), repairs)
    if value is None:
        _refuse_no_id(attribute)
    if type(value) is not str:
        refuse_kind(attribute.subs["value"], "the id of a member, as text")
    return member_id(attribute, value, repairs), is_deleted


def _is_deletion(mark: Any, repairs: Repairs) -> bool:
    """Read the mark of SCIM 1.1 §3.3.1 beside a member: `delete`, or nothing for an addition."""
    text = small_letters(mark).strip() if isinstance(mark, str) else None
    if text in ("delete", "remove"):
        return repairs.fire("member-deleted")
    if text not in ("", "add"):
        raise InvalidValue(
            "members.operation must be `delete`, or left out.", attribute="members.operation"
        )
    return False


def member_id(attribute: Attribute, text: str, repairs: Repairs) -> str:
    """The id that a text names. Raises InvalidValue if that is not one id."""
    if _PLAIN_ID.fullmatch(text) is not None and len(text) != _BARE_UUID:
        return text
    check_text(attribute.subs["value"], text)
    stripped = text.strip(" ")
    if stripped != text and repairs.fire("surrounding-space"):
        text = stripped
    if "/" in text:
        text = quirks.repair_reference(text, repairs) or ""
    text = _without_form(text, repairs)
    if (
        not text
        or text.isspace()
        or (_PLAIN_ID.fullmatch(text) is None and _NO_ID.search(text) is not None)
    ):
        _refuse_no_id(attribute)
    return text


def _without_form(text: str, repairs: Repairs) -> str:
    """A UUID in our form, if the text is a UUID in another form; otherwise the text."""
    if not _BARE_UUID <= len(text) <= len("urn:uuid:") + _UUID or len(text) == _UUID:
        return text
    try:
        meant = str(UUID(text))
    except ValueError:
        return text
    return meant if repairs.fire("uuid-form") else text


def _refuse_no_id(attribute: Attribute) -> NoReturn:
    raise InvalidValue(
        f"{attribute.path} names a member without an id that can be read; give each `value`, one "
        "id, and null or an empty list to clear the attribute.",
        attribute=attribute.path,
    )

"""The canonical form of one attribute's value, or the error that says what is wrong with it.

None stands for unassigned (RFC 7643 §2.5): null, the empty list, an object without content.
Errors name the attribute and never quote the value.
"""

import base64
import binascii
import re
from collections.abc import Hashable
from datetime import datetime
from functools import cache
from typing import Any, Final, NoReturn

from shared.scim import quirks
from shared.scim.errors import InvalidSyntax, InvalidValue
from shared.scim.json_body import Json, fold_names, refuse_twin, small_letters
from shared.scim.limits import MAX_ELEMENTS, MAX_MEMBERS
from shared.scim.plain import is_mailbox, is_plain, plain_kinds
from shared.scim.quirks import Repairs
from shared.scim.schema import Attribute
from shared.scim.username import checked_key, user_name_key
from shared.scim.work import ELEMENT, KEY, TEXT, UNKNOWN, VALUE, Work, of_fold

_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_PLAIN_ID = re.compile(r"[0-9A-Za-z-]{1,36}")
_DATE_TIME = re.compile(
    r"-?[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_URI = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|/|\.\.?/)[^\s<>\"{}|\\^`]*")

_ROLES: Final = frozenset({"roles", "entitlements"})
"""Whose elements Entra writes as JSON into the `value` of another element."""


@cache
def _plain_subs(attribute: Attribute) -> dict[str, int]:
    return plain_kinds(attribute.subs)


def canonical_value(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """The canonical value of a whole attribute; None if that is unassigned.

    Raises InvalidValue for a wrong kind, too long or too many, characters that do not belong,
    and a required attribute without value; InvalidSyntax for unknown sub-attributes (interop).
    """
    result: Any = None
    if value is None or value == []:
        pass
    elif attribute.multi_valued:
        result = canonical_elements(attribute, value, repairs)
    elif attribute.is_complex:
        result = canonical_element(attribute, value, repairs)
    else:
        return canonical_simple(attribute, value, repairs)
    if result is None and attribute.required:
        refuse_absent(attribute)
    return result


def refuse_absent(attribute: Attribute) -> NoReturn:
    """Raise the error for a required attribute without value."""
    raise InvalidValue(
        f"{attribute.path} is required and must have a value that is not blank.",
        attribute=attribute.path,
    )


def canonical_simple(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """The canonical value of an attribute without sub-attributes, taken as a single value."""
    kind = attribute.kind
    repairs.work.charge(VALUE)
    if isinstance(value, dict | list):
        value = quirks.repair_simple(value, repairs)
    if value is None:
        return refuse_absent(attribute) if attribute.required else None
    if kind == "boolean":
        if value is True or value is False:
            return value
        if value == "" and attribute.name == "primary" and repairs.fire("blank-is-unassigned"):
            return None
        value = quirks.repair_boolean(value, repairs)
        if not isinstance(value, bool):
            _refuse_kind(attribute, "true or false, without quotation marks")
        return value
    if kind in ("integer", "decimal"):
        return _canonical_number(attribute, value, repairs)
    if type(value) is not str:
        value = quirks.repair_text(attribute, value, repairs)
        if type(value) is not str:
            _refuse_kind(attribute, "a text in quotation marks")
    if not value or value.isspace():
        if attribute.required:
            refuse_absent(attribute)
        if repairs.fire("blank-is-unassigned"):
            return None
    repairs.work.charge(of_fold(len(value), TEXT))
    _check_text(attribute, value)
    if attribute.check is None and kind == "string":
        return value
    return _checked(attribute, value, repairs)


def _check_text(attribute: Attribute, value: str) -> None:
    if len(value) > attribute.max_length:
        raise InvalidValue(
            f"{attribute.path} is longer than {attribute.max_length} characters; shorten it.",
            attribute=attribute.path,
        )
    if attribute.path == "externalId":
        checked_key(value, attribute.path)
    if not value.isprintable():
        pattern = _NOT_IN_TEXT if attribute.multi_line else _NOT_IN_A_LINE
        if pattern.search(value) is not None:
            raise InvalidValue(
                f"{attribute.path} has control characters or line breaks; remove them.",
                attribute=attribute.path,
            )


def _checked(attribute: Attribute, value: str, repairs: Repairs) -> str:
    """A text of a kind that has rules of its own."""
    if attribute.check == "user_name":
        repairs.work.once(user_name_key, value, KEY)
    elif attribute.check == "mailbox":
        return _mailbox(attribute, value, repairs)
    elif attribute.kind == "reference":
        if _URI.fullmatch(value) is None and not repairs.fire("reference-no-uri"):
            _refuse_kind(attribute, "a URI")
    elif attribute.kind == "dateTime":
        if not is_date_time(value):
            _refuse_kind(attribute, "a dateTime such as 2026-01-31T08:00:00Z")
    elif attribute.kind == "binary":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            _refuse_kind(attribute, "base64")
    return value


def _mailbox(attribute: Attribute, value: str, repairs: Repairs) -> str:
    if value != value.strip() and repairs.fire("surrounding-space"):
        value = value.strip()
    if not is_mailbox(value):
        _refuse_kind(attribute, "one e-mail address, without a name in front or a second address")
    return value


def is_date_time(value: str) -> bool:
    """Whether the text is a dateTime of RFC 7643 §2.3.5 and a date of the calendar."""
    if _DATE_TIME.fullmatch(value) is None:
        return False
    try:
        parse_date_time(value)
    except (ValueError, OverflowError):
        return False
    return True


def parse_date_time(value: str) -> datetime:
    """The time that a dateTime means; without an offset it is UTC. Raises ValueError."""
    whole, dot, rest = value.partition(".")
    if dot:
        digits = re.match(r"[0-9]+", rest)
        size = digits.end() if digits is not None else 0
        value = f"{whole}.{rest[:size][:6].ljust(6, '0')}{rest[size:]}"
    time = datetime.fromisoformat(value)
    return time if time.tzinfo is not None else datetime.fromisoformat(f"{value}+00:00")


def _canonical_number(attribute: Attribute, value: Any, repairs: Repairs) -> int | float:
    value = quirks.repair_number(value, repairs)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse_kind(attribute, "a number")
    if attribute.kind == "integer" and not isinstance(value, int):
        _refuse_kind(attribute, "a whole number")
    return value


def canonical_element(attribute: Attribute, value: Any, repairs: Repairs) -> Json | None:
    """One object of a complex attribute: known sub-attributes, canonical, assigned.

    What only the server sets is left out: `manager.displayName`, every `$ref`.
    """
    if type(value) is not dict:
        value = quirks.repair_complex(attribute, value, repairs)
        if value is None:
            return None
        if type(value) is not dict:
            _refuse_kind(attribute, "a list of objects" if attribute.multi_valued else "an object")
    repairs.work.charge(VALUE * (1 + len(value)))
    result: Json = {}
    subs, plain = attribute.subs, _plain_subs(attribute)
    for name, item in value.items():
        if (
            type(item) is str
            and 0 < len(item) <= plain.get(name, 0)
            and item.isprintable()
            and not item.isspace()
        ) or (name in plain and is_plain(item, plain[name])):
            result[name] = item
            continue
        sub = subs.get(name) or subs.get(small_letters(name))
        if sub is None:
            sub = quirks.repair_sub_name(attribute, name, repairs)
            if sub is None:
                refuse_unknown(f"{attribute.path}.{name}", repairs)
                continue
        if sub.name != name and (sub.name in value or sub.name in result):
            refuse_twin()
        if item is None or sub.is_read_only or sub.name == "$ref":
            continue
        canonical = canonical_simple(sub, item, repairs)
        if canonical is not None:
            result[sub.name] = canonical
    if attribute.is_resource_reference and "value" not in result:
        found = quirks.repair_reference(value.get("$ref"), repairs)
        return {**result, "value": found} if found is not None else None
    return result or None


def refuse_unknown(name: str, repairs: Repairs) -> None:
    """Raise InvalidSyntax for a name that no schema knows, unless such are ignored."""
    repairs.work.charge(UNKNOWN)
    if not repairs.fire("unknown-attribute"):
        shown = (
            name
            if len(name) <= 200 and name.isprintable()
            else name[:200].encode("ascii", "replace").decode("ascii")
        )
        raise InvalidSyntax(
            f"{shown} is in no schema of this resource type; remove it or correct its name.",
            attribute=shown,
        )


def canonical_elements(attribute: Attribute, value: Any, repairs: Repairs) -> list[Any] | None:
    """The elements of a multi-valued attribute, none twice, at most one primary."""
    if type(value) is not list:
        value = quirks.repair_list(attribute, value, repairs)
        if type(value) is not list:
            _refuse_kind(attribute, "a list")
    if len(value) > MAX_ELEMENTS:
        raise InvalidValue(
            f"{attribute.path} has more than {MAX_ELEMENTS} elements; send fewer.",
            attribute=attribute.path,
        )
    if not attribute.is_complex:
        simple = [canonical_simple(attribute, item, repairs) for item in value]
        return list(dict.fromkeys(item for item in simple if item is not None)) or None
    elements: list[Json] = []
    may_be_text = attribute.name in _ROLES
    for item in value:
        given = quirks.repair_role(item, repairs) if may_be_text else item
        element = canonical_element(attribute, given, repairs)
        if element is not None:
            elements.append(element)
    return settle_elements(attribute, elements, repairs)


def settle_elements(
    attribute: Attribute, elements: list[Json], repairs: Repairs
) -> list[Json] | None:
    """Canonical elements as a list that may be kept: without blanks and doubles, one primary.

    Of two elements with the same type and value (RFC 7643 §2.4) the later one completes the
    first. The result shares no element with the argument that it had to change.
    """
    repairs.work.charge(ELEMENT * len(elements))
    if _is_settled(attribute, elements, repairs.work):
        return elements or None
    kept = [element for element in elements if _has_content(attribute, element)]
    if len(kept) != len(elements):
        repairs.fire("blank-element-dropped")
    if len(kept) > 1:
        kept = _without_doubles(attribute, kept, repairs.work)
        primaries = [index for index, element in enumerate(kept) if element.get("primary") is True]
        if len(primaries) > 1:
            if not repairs.fire("last-primary-wins"):
                raise InvalidValue(
                    f"{attribute.path} has more than one primary element; mark one at most.",
                    attribute=f"{attribute.path}.primary",
                )
            for index in primaries[:-1]:
                kept[index] = {**kept[index], "primary": False}
    return kept or None


def _is_settled(attribute: Attribute, elements: list[Json], work: Work) -> bool:
    """Whether it is plain that nothing is to be done: all have values of their own."""
    if len(elements) == 1 and "value" not in attribute.subs:
        return bool(elements[0])
    values: set[str] = set()
    primaries = 0
    for element in elements:
        if "value" not in element:
            return False
        values.add(work.once(str.lower, element["value"]))
        if element.get("primary") is True:
            primaries += 1
    return len(values) == len(elements) and primaries < 2


def _has_content(attribute: Attribute, element: Json) -> bool:
    if "value" in element or "value" not in attribute.subs:
        return bool(element)
    if attribute.name == "emails":
        return False
    return any(name not in ("type", "primary") for name in element)


def _element_key(attribute: Attribute, element: Json, work: Work) -> Hashable:
    """What makes two elements of one attribute the same: type and value, or else all of it."""
    value = element.get("value")
    if value is None:
        return frozenset(element.items())
    if not attribute.subs["value"].case_exact:
        value = work.once(str.lower, value)
    return (work.once(str.lower, element.get("type", "")), value)


def _without_doubles(attribute: Attribute, elements: list[Json], work: Work) -> list[Json]:
    kept: list[Json] = []
    places: dict[Hashable, int] = {}
    for element in elements:
        key = _element_key(attribute, element, work)
        if key in places:
            kept[places[key]] = {**kept[places[key]], **element}
        else:
            places[key] = len(kept)
            kept.append(element)
    return kept


def canonical_member_ids(attribute: Attribute, value: Any, repairs: Repairs) -> tuple[str, ...]:
    """The ids in a group's `members`, each once, in the order given (RFC 7643 §4.2).

    Raises InvalidValue for what is no list of references and for too many.
    """
    if type(value) is not list:
        value = quirks.repair_list(attribute, value, repairs)
        if type(value) is not list:
            _refuse_kind(attribute, "a list of objects with `value`")
    if len(value) > MAX_MEMBERS:
        raise InvalidValue(
            f"{attribute.path} has more than {MAX_MEMBERS} elements; send them in parts by PATCH.",
            attribute=attribute.path,
        )
    ids: dict[str, None] = {}
    plain = _PLAIN_ID.fullmatch
    for element in value:
        # Nearly all are as `_member_id` returns them, and there may be 100,000.
        if type(element) is dict and element.keys() <= attribute.subs.keys():
            given = element.get("value")
            if type(given) is str and plain(given):
                ids[given] = None
                continue
        member_id = _member_id(attribute, element, repairs)
        if member_id is not None:
            ids[member_id] = None
    return tuple(ids)


def _member_id(attribute: Attribute, element: Any, repairs: Repairs) -> str | None:
    if type(element) is not dict:
        element = quirks.repair_complex(attribute, element, repairs)
        if type(element) is not dict:
            _refuse_kind(attribute, "a list of objects with `value`")
    value = element.get("value")
    if value is None:
        value = next((item for name, item in element.items() if name.lower() == "value"), None)
    if not attribute.subs.keys() >= element.keys():
        fold_names(element)
    for name in element:
        is_unknown = name not in attribute.subs and attribute.sub(name) is None
        # What 100,000 members may cost is bounded by their number alone.
        if is_unknown and not repairs.fire("unknown-attribute"):
            refuse_unknown(f"{attribute.path}.{name}", repairs)
    sub = attribute.subs["value"]
    if value is None:
        value = quirks.repair_reference(element.get("$ref"), repairs)
    if value is None or (type(value) is str and (not value or value.isspace())):
        if repairs.fire("blank-element-dropped"):
            return None
        refuse_absent(sub)
    if type(value) is not str:
        _refuse_kind(sub, "the id of a member, as text")
    _check_text(sub, value)
    member_id: str = value
    return member_id


def _refuse_kind(attribute: Attribute, wanted: str) -> NoReturn:
    raise InvalidValue(f"{attribute.path} must be {wanted}.", attribute=attribute.path)

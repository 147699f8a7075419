"""The canonical form of one attribute's value, or the error that says what is wrong with it.

None means unassigned (RFC 7643 §2.5): null, an empty list, an object without content. Errors name
the attribute and never quote the value.
"""

import base64
import binascii
import re
from collections.abc import Hashable
from datetime import datetime
from functools import cache
from typing import Any, Final, NoReturn

from rollcall.scim import quirks
from rollcall.scim.blank import says_blank
from rollcall.scim.body.json_body import Json, refuse_twin, small_letters
from rollcall.scim.errors import InvalidSyntax, InvalidValue
from rollcall.scim.limits import MAX_ELEMENTS
from rollcall.scim.plain import is_mailbox, is_plain, plain_kinds
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Attribute
from rollcall.scim.username import checked_key, user_name_key
from rollcall.scim.work import ELEMENT, KEY, TEXT, UNKNOWN, VALUE, Work, of_fold

_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_DATE_TIME = re.compile(
    r"-?[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_URI = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|/|\.\.?/)[^\s<>\"{}|\\^`]*")

_ROLES: Final = frozenset({"roles", "entitlements"})
"""Attributes whose elements Entra writes as JSON into the `value` of another element."""


@cache
def _plain_subs(attribute: Attribute) -> dict[str, int]:
    return plain_kinds(attribute.subs)


def canonical_value(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """The canonical value of a whole attribute; None if it is unassigned.

    Raises InvalidValue for a value of the wrong kind, too long or too many values, characters that
    are not allowed, and a required attribute without a value; InvalidSyntax for unknown
    sub-attributes (interop).
    """
    result: Any = None
    if value is None or (value == [] and attribute.is_complex):
        pass
    elif attribute.multi_valued:
        result = canonical_elements(attribute, value, repairs)
    elif attribute.is_complex:
        result = canonical_object(attribute, value, repairs)
    else:
        return canonical_simple(attribute, value, repairs)
    if result is None and attribute.required:
        refuse_absent(attribute)
    return result


def refuse_absent(attribute: Attribute) -> NoReturn:
    """Raise the error for a required attribute without a value."""
    raise InvalidValue(
        f"{attribute.path} is required and must have a value that is not blank.",
        attribute=attribute.path,
    )


def canonical_simple(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """The canonical value of an attribute without sub-attributes, read as a single value."""
    kind = attribute.kind
    repairs.work.charge(VALUE)
    if isinstance(value, dict | list):
        value = quirks.repair_simple(attribute, value, repairs)
    if value is None:
        return refuse_absent(attribute) if attribute.required else None
    if kind == "boolean":
        if value is True or value is False:
            return value
        if value == "" and attribute.name == "primary" and repairs.fire("blank-is-unassigned"):
            return None
        value = quirks.repair_boolean(value, repairs)
        if not isinstance(value, bool):
            refuse_kind(attribute, "true or false, without quotation marks")
        return value
    if kind in ("integer", "decimal"):
        return _canonical_number(attribute, value, repairs)
    if type(value) is not str:
        value = quirks.repair_text(attribute, value, repairs)
        if type(value) is not str:
            refuse_kind(attribute, "a text in quotation marks")
    if not value or value.isspace():
        if attribute.required:
            refuse_absent(attribute)
        if repairs.fire("blank-is-unassigned"):
            return None
    repairs.work.charge(of_fold(len(value), TEXT))
    check_text(attribute, value)
    if attribute.check is None and kind == "string":
        return value
    return _checked(attribute, value, repairs)


def check_text(attribute: Attribute, value: str) -> None:
    """Raise InvalidValue for a text that is too long or has characters that are not allowed."""
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
    """Check a text of a kind that has its own rules."""
    if attribute.check == "user_name":
        repairs.work.once(user_name_key, value, KEY)
    elif attribute.check == "mailbox":
        return _mailbox(attribute, value, repairs)
    elif attribute.kind == "reference":
        if _URI.fullmatch(value) is None and not repairs.fire("reference-no-uri"):
            refuse_kind(attribute, "a URI")
    elif attribute.kind == "dateTime":
        if not is_date_time(value):
            refuse_kind(attribute, "a dateTime such as 2026-01-31T08:00:00Z")
    elif attribute.kind == "binary":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            refuse_kind(attribute, "base64")
    return value


def _mailbox(attribute: Attribute, value: str, repairs: Repairs) -> str:
    if value != value.strip() and repairs.fire("surrounding-space"):
        value = value.strip()
    if not is_mailbox(value):
        refuse_kind(attribute, "one e-mail address, without a name in front or a second address")
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
    """The time of a dateTime; without an offset it is UTC. Raises ValueError."""
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
        refuse_kind(attribute, "a number")
    if attribute.kind == "integer" and not isinstance(value, int):
        refuse_kind(attribute, "a whole number")
    return value


def canonical_object(attribute: Attribute, value: Any, repairs: Repairs) -> Json | None:
    """Like `canonical_element`, for input of a client: None only if it says that it is blank.

    Raises InvalidValue for an object in which nothing can be read.
    """
    value = quirks.repair_wrapped(attribute, value, repairs)
    if value is None or value == []:
        return None
    element = canonical_element(attribute, value, repairs)
    if element is None:
        refuse_unread(attribute, value, repairs)
    return element


def canonical_element(attribute: Attribute, value: Any, repairs: Repairs) -> Json | None:
    """One object of a complex attribute with its known, assigned sub-attributes in canonical form.

    Sub-attributes that only the server sets are omitted: `manager.displayName`, every `$ref`.
    """
    if type(value) is not dict:
        value = quirks.repair_complex(attribute, value, repairs)
        if value is None:
            return None
        if type(value) is not dict:
            refuse_kind(attribute, "a list of objects" if attribute.multi_valued else "an object")
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
            if sub is None or (sub.name in value and small_letters(name) != "managerid"):
                _refuse_deletion(attribute, name, item)
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


def _refuse_deletion(attribute: Attribute, name: str, item: Any) -> None:
    """Refuse SCIM 1's mark of deletion: ignored as unknown, it would add the element."""
    if (
        small_letters(name) == "operation"
        and isinstance(item, str)
        and small_letters(item).strip() == "delete"
    ):
        raise InvalidValue(
            f"{attribute.path}: remove an element by an operation `remove`, not by a mark on it.",
            attribute=attribute.path,
        )


def shown_name(name: str) -> str:
    """A name as an error may quote it: at most 200 characters, all visible."""
    if len(name) <= 200 and name.isprintable():
        return name
    return name[:200].encode("ascii", "replace").decode("ascii")


def refuse_unknown(name: str, repairs: Repairs) -> None:
    """Raise InvalidSyntax for a name that is in no schema, unless such names are ignored."""
    repairs.work.charge(UNKNOWN)
    if not repairs.ignore(name):
        shown = shown_name(name)
        raise InvalidSyntax(
            f"{shown} is in no schema of this resource type; remove it or correct its name.",
            attribute=shown,
        )


def canonical_elements(attribute: Attribute, value: Any, repairs: Repairs) -> list[Any] | None:
    """The elements of a multi-valued attribute, without doubles and with at most one primary."""
    if type(value) is not list:
        value = quirks.repair_list(attribute, value, repairs)
        if type(value) is not list:
            refuse_kind(attribute, "a list")
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
        if element is None or not _has_content(attribute, element):
            refuse_unread(attribute, given, repairs)
        if element is not None:
            elements.append(element)
    return settle_elements(attribute, elements, repairs)


def elements_to_remove(attribute: Attribute, value: Any, repairs: Repairs) -> list[Json]:
    """The elements of a list beside a remove; each selects elements to remove.

    Raises InvalidValue like `canonical_elements`, and for an element that selects nothing.
    """
    elements: list[Json] = []
    given = value if type(value) is list else quirks.repair_list(attribute, value, repairs)
    if type(given) is not list or (not given and value != []):
        refuse_kind(attribute, "a list of what to remove")
    for item in given:
        element = canonical_element(attribute, item, repairs)
        if element is None:
            refuse_nothing_read(attribute)
        if "value" not in element and not _has_content(attribute, element):
            refuse_unread(attribute, item, repairs)
        elements.append(element)
    return elements


def refuse_unread(attribute: Attribute, value: Any, repairs: Repairs) -> None:
    """Raise InvalidValue for an object without readable content that does not say it is blank.

    If it were skipped silently, a value that it may have been meant to name would be lost.
    """
    given = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not says_blank(attribute, quirks.object_of(given, repairs)):
        refuse_nothing_read(attribute)


def refuse_nothing_read(attribute: Attribute) -> NoReturn:
    """Raise the error for a value in which nothing can be read."""
    wanted = "`value`" if "value" in attribute.subs else "one of its sub-attributes"
    raise InvalidValue(
        f"In a value of {attribute.path} nothing can be read; give it {wanted}, and null "
        "or an empty list to clear the attribute.",
        attribute=attribute.path,
    )


def settle_elements(
    attribute: Attribute, elements: list[Json], repairs: Repairs
) -> list[Json] | None:
    """Canonical elements as a list to store: without blanks and doubles, with one primary.

    If two elements have the same type and value (RFC 7643 §2.4), the later one completes the first.
    An element that had to be changed is copied, so the argument is not modified.
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
    """Whether the list clearly needs no change: all elements have different values."""
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
    """What makes two elements of an attribute equal: type and value, or otherwise everything."""
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


def refuse_kind(attribute: Attribute, wanted: str) -> NoReturn:
    """Raise the error for a value of the wrong kind."""
    raise InvalidValue(f"{attribute.path} must be {wanted}.", attribute=attribute.path)

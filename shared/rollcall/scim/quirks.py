"""Repairs of what identity providers send although RFC 7643 and 7644 do not allow it.

Each rule is for a class of deviations, never for one recorded body. The rules run before
validation: on a value of the wrong kind, on a name that is in no schema, on the shape of an
operation. The `compatible` profile has them on, `interop` off. The names of the rules that fired
are recorded so that they can be counted; nothing of the value is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from rollcall.scim.body.json_body import LONGEST_NAME, Json, parse_object, small_letters
from rollcall.scim.errors import InvalidSyntax, ScimError
from rollcall.scim.limits import MAX_TEXT
from rollcall.scim.near_names import near_name, near_sub, near_urn
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, Attribute, Extension, ResourceSchema
from rollcall.scim.work import JSON, Work, of_fold


@dataclass(frozen=True, slots=True)
class Rule:
    """A repair: its name in counters and documentation, and its effect in one line."""

    name: str
    doc: str


RULES = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Rule("bare-element", "A text where an element with a `value` belongs is that value."),
            Rule(
                "blank-element-dropped",
                "An element that says that its value is blank is left out; never a member.",
            ),
            Rule("blank-is-unassigned", "A blank text unassigns an attribute that may be absent."),
            Rule("boolean-as-text", 'The texts "True" and "false", in any case, are booleans.'),
            Rule("create-by-filter", "A path filter that matches nothing creates the element."),
            Rule(
                "date-form",
                "A date without time, colon, `T` or the `+` that a query lost is a dateTime.",
            ),
            Rule(
                "digits-as-number", "A whole number is a text of digits where such a text is usual."
            ),
            Rule("extension-name-in-core", "An extension's attribute named without its URN."),
            Rule(
                "id-by-reference",
                "A reference without value means the resource that its $ref ends in.",
            ),
            Rule(
                "filter-on-one",
                "A path filter on a single complex value asks whether it is the one meant.",
            ),
            Rule("last-primary-wins", "Of several primary elements the last one is primary."),
            Rule("list-of-one", "A list of one where a filter selects elements is that one."),
            Rule("manager-id", "SCIM 1's managerId is manager.value."),
            Rule("member-exchanged", "Another id for a member means another member in its place."),
            Rule("member-deleted", 'SCIM 1\'s `"operation": "delete"` beside a member removes it.'),
            Rule("missing-schemas", "A body without `schemas` is read as what its address says."),
            Rule(
                "near-name",
                "A singular, underscores, hyphens or spaces in a name, or another schema of the "
                "resource type with it, make no other name of it.",
            ),
            Rule(
                "near-urn",
                "A dot, slash or colons between a schema and its attribute are the colon there.",
            ),
            Rule("number-as-text", "A text of digits is a number where a number belongs."),
            Rule("object-as-text", "An object or list written as JSON into a text is that."),
            Rule("object-for-list", "An object where a list belongs is a list of one."),
            Rule("old-urn", "URNs of SCIM 1, of drafts, or misspelt are those of SCIM 2."),
            Rule("op-letter-case", "An operation's name may be written in any letter case."),
            Rule("password-dropped", "A password is dropped: never kept, logged or passed on."),
            Rule("path-as-name", "A name in a path-less PATCH value or in a body may be a path."),
            Rule(
                "path-as-pointer", "A path written as a JSON pointer, with slashes, is that path."
            ),
            Rule("path-less-patch", "A PATCH operation without path is split by its names."),
            Rule("read-only-dropped", "A read-only name in a path-less PATCH value is ignored."),
            Rule("reference-as-list", "A list of one where one reference belongs is that one."),
            Rule("reference-as-text", "A bare id is a reference to the resource of that id."),
            Rule("reference-no-uri", "A reference that is no URI is kept as given."),
            Rule("remove-by-value", "A list beside the path of a remove names what to remove."),
            Rule(
                "schema-as-name",
                "An object under the resource type's own URN holds attributes of the resource.",
            ),
            Rule("surrounding-space", "White space around an e-mail address or an id is cut off."),
            Rule(
                "unknown-attribute",
                "What no schema knows is ignored beside what one knows, and counted by name.",
            ),
            Rule("unquoted-filter-value", "A filter's value may come without quotation marks."),
            Rule("uuid-form", "A UUID in braces, as a URN or without hyphens is that UUID."),
            Rule(
                "value-in-object",
                "A single value in an object, or a list of one, is its `value`.",
            ),
            Rule("value-path-continued", "A comparison goes on after a filter in brackets."),
            Rule(
                "value-under-its-name",
                "A value that is wrapped once more under its attribute's name is that value.",
            ),
            Rule(
                "value-path-in-list",
                "A path filter in a list of attributes is read as its attribute.",
            ),
        )
    }
)

# Attributes that real directories hold as numbers, and templates send without quotation marks.
# Never `externalId`: elsewhere a number there has become the id of another person's account.
_DIGITS = frozenset(
    {
        "phoneNumbers.value",
        "addresses.postalCode",
        f"{ENTERPRISE_URN}:employeeNumber",
        f"{ENTERPRISE_URN}:costCenter",
    }
)
_ACCESS = frozenset({"active", "members"})
_WRAPPING = frozenset({"value", "$ref", "display", "type", "primary"})
_LONGEST_BOOLEAN = 100
"""Characters, including white space around it."""
_POINTER = re.compile(r"/([A-Za-z][A-Za-z0-9]*)(?:/([A-Za-z$][A-Za-z0-9]*))?")
_DATE = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)"
    r"(?P<zone>[Zz]|[+ -][0-9]{2}:?[0-9]{2})?)?"
)
_OLD_ENTERPRISE = re.compile(
    r"urn:(?:ietf:params:)?scim:schemas:extension:enterprise:[0-9]\.[0-9]:?(?:user)?"
    r"|enterpriseuser",
    re.IGNORECASE,
)
_OLD_CORE = re.compile(
    r"urn:(?:ietf:params:)?scim:schemas:core:[0-9]\.[0-9](?::?(?P<type>user|group))?",
    re.IGNORECASE,
)


MAX_IGNORED = 20
"""Most ignored names that are recorded for one request."""


class Repairs:
    """The rules in force for one request, the names of those that fired, and the names ignored.

    `work` is the cost of the request so far; without one it is not bounded.
    """

    __slots__ = ("_fired", "_ignored", "lenient", "profile", "work")

    def __init__(self, profile: Profile, work: Work | None = None) -> None:
        self.profile = profile
        self.work = Work() if work is None else work
        self.lenient = profile is Profile.COMPATIBLE
        self._fired: dict[str, None] = {}
        self._ignored: dict[str, None] = {}

    def fire(self, name: str) -> bool:
        """Whether the rule is in force; if so it is recorded as used."""
        if self.lenient:
            self._fired[RULES[name].name] = None
        return self.lenient

    def ignore(self, name: str) -> bool:
        """Whether a name that is in no schema may be ignored; if so it is recorded."""
        if not self.fire("unknown-attribute"):
            return False
        if len(self._ignored) < MAX_IGNORED:
            self._ignored[name] = None
        return True

    @property
    def fired(self) -> tuple[str, ...]:
        """The names of the rules used so far."""
        return tuple(self._fired)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The first names that were ignored, as sent."""
        return tuple(self._ignored)


def repair_boolean(value: Any, repairs: Repairs) -> Any:
    """`"True"` and `"false"` as booleans; anything else unchanged."""
    if isinstance(value, str) and len(value) <= _LONGEST_BOOLEAN:
        meant = {"true": True, "false": False}.get(value.strip().lower())
        if meant is not None and repairs.fire("boolean-as-text"):
            return meant
    return value


def repair_number(value: Any, repairs: Repairs) -> Any:
    """`"12"` as 12, at most 18 digits; anything else unchanged."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value) if repairs.fire("number-as-text") else value
    return value


def repair_date_time(value: str, repairs: Repairs) -> str:
    """Complete a dateTime without time, `T`, the colon of its offset or the `+` in front of it."""
    match = _DATE.fullmatch(value)
    if match is None or not repairs.fire("date-form"):
        return value
    zone = (match["zone"] or "Z").upper().replace(" ", "+")
    if zone != "Z" and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    return f"{match['date']}T{match['time'] or '00:00:00'}{zone}"


def repair_text(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """A number as text where a text of digits is usual; anything else unchanged."""
    if type(value) is int and attribute.path in _DIGITS and repairs.fire("digits-as-number"):
        return str(value)
    return value


def repair_simple(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """x for `{"value": x}` where a single value belongs; also in a list, as in Entra's PATCHes."""
    value = repair_wrapped(attribute, value, repairs)
    wrapped = value[0] if isinstance(value, list) and len(value) == 1 else value
    if (
        isinstance(wrapped, dict)
        and "value" in wrapped
        and _WRAPPING.issuperset(wrapped)
        and repairs.fire("value-in-object")
    ):
        return wrapped["value"]
    return value


def repair_wrapped(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """x for `{"members": x}` as the value of `members`, as Salesforce documents it."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if (
            names_attribute(name, attribute)
            and attribute.sub(name) is None
            and repairs.fire("value-under-its-name")
        ):
            return inner
    return value


def names_attribute(name: str, attribute: Attribute) -> bool:
    """Whether it names the attribute: in any letter case, with its schema, or in the singular."""
    own = {attribute.path.lower(), attribute.name.lower()}
    if attribute.multi_valued:
        own.add(attribute.name.lower().removesuffix("s"))
    return small_letters(name) in own


def repair_object(value: Any, repairs: Repairs) -> Any:
    """The object that a text holds as JSON; anything else unchanged."""
    found = _object_in(value, repairs)
    return found if found is not None and repairs.fire("object-as-text") else value


def object_of(value: Any, repairs: Repairs) -> Any:
    """Like `repair_object`, but does not record a rule."""
    found = _object_in(value, repairs)
    return value if found is None else found


def repair_role(element: Any, repairs: Repairs) -> Any:
    """The element that another's `value` holds as JSON, as Entra sends several roles."""
    inner = _object_in(element.get("value"), repairs) if isinstance(element, dict) else None
    if inner is not None and "value" in inner and repairs.fire("object-as-text"):
        return {**element, **inner}
    return element


def _list_in(value: str, repairs: Repairs) -> list[Any] | None:
    """The list that a text holds as JSON, or None."""
    if not value.startswith("[") and not value[:MAX_TEXT].lstrip().startswith("["):
        return None
    repairs.work.charge(of_fold(len(value), JSON))
    try:
        read = parse_object(f'{{"list":{value}}}'.encode())
    except (ScimError, UnicodeError):
        return None
    return read["list"] if len(read) == 1 else None


def _object_in(value: Any, repairs: Repairs) -> Json | None:
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    repairs.work.charge(of_fold(len(value), JSON))
    try:
        return parse_object(value.encode())
    except (ScimError, UnicodeError):
        return None


def repair_complex(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """An object from JSON in a text, a bare value, or a list of one."""
    value = repair_object(value, repairs)
    if attribute.is_resource_reference:
        if (
            isinstance(value, list)
            and not attribute.multi_valued
            and len(value) == 1
            and repairs.fire("reference-as-list")
        ):
            value = value[0]
        if isinstance(value, str) and repairs.fire("reference-as-text"):
            return {"value": value}
    elif isinstance(value, str) and (not value or value.isspace()):
        return None if repairs.fire("blank-is-unassigned") else value
    elif (
        isinstance(value, str)
        and attribute.multi_valued
        and "value" in attribute.subs
        and repairs.fire("bare-element")
    ):
        return {"value": value}
    return value


def repair_reference(reference: Any, repairs: Repairs) -> str | None:
    """The id at the end of a `$ref` such as `https://idp.example/Users/7`, or None."""
    if not isinstance(reference, str) or len(reference) > MAX_TEXT:
        return None
    path = reference.strip(" ").partition("#")[0].partition("?")[0]
    _, scheme, behind = path.partition("://")
    path = behind.partition("/")[2] if scheme else path
    _, slash, last = path.rstrip("/").rpartition("/")
    if not last or not (slash or scheme) or last.lower() in ("users", "groups"):
        return None
    return unquote(last) if repairs.fire("id-by-reference") else None


def repair_list(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """A list of one from a single element."""
    value = repair_wrapped(attribute, value, repairs)
    if isinstance(value, str):
        if not value or value.isspace():
            may_clear = not attribute.is_resource_reference
            return [] if may_clear and repairs.fire("blank-is-unassigned") else value
        found = _list_in(value, repairs)
        if found is not None:
            return found if repairs.fire("object-as-text") else value
    if value is None or isinstance(value, list):
        return value or []
    is_element = isinstance(value, dict) or (isinstance(value, str) and "value" in attribute.subs)
    return [value] if is_element and repairs.fire("object-for-list") else value


def repair_path(text: str, repairs: Repairs) -> str:
    """`/name/givenName` as `name.givenName`; anything else unchanged."""
    match = _POINTER.fullmatch(text)
    if match is None or not repairs.fire("path-as-pointer"):
        return text
    return ".".join(part for part in match.groups() if part)


def repair_sub_name(attribute: Attribute, name: str, repairs: Repairs) -> Attribute | None:
    """The sub-attribute that a name unknown to RFC 7643 means, or None."""
    if (
        small_letters(name) == "managerid"
        and attribute.name == "manager"
        and repairs.fire("manager-id")
    ):
        return attribute.subs["value"]
    near = near_sub(attribute, name)
    return near if near is not None and repairs.fire("near-name") else None


def map_urn(urn: str, schema: ResourceSchema) -> str | None:
    """The SCIM 2 URN that a URN of SCIM 1, of a draft, or a misspelled one means, or None."""
    if _OLD_ENTERPRISE.fullmatch(urn):
        return ENTERPRISE_URN if schema.extension(ENTERPRISE_URN) is not None else None
    core = _OLD_CORE.fullmatch(urn)
    if core is not None and (core["type"] or schema.name).lower() == schema.name.lower():
        return schema.urn
    return None


def is_named_twice(target: Attribute, names: Iterable[str], schema: ResourceSchema) -> bool:
    """Whether an attribute that a near name means is also named by its own name.

    Then the near name is ignored like an unknown name. Raises InvalidSyntax if ignoring it would
    take access away or leave it.
    """
    if not any(schema.resolve(name) is target for name in names):
        return False
    if target.name in _ACCESS:
        raise InvalidSyntax(
            f"{target.path} comes under two names; send it once, under its own name.",
            attribute=target.path,
        )
    return True


def names_schema(urn: str, schema: ResourceSchema) -> bool:
    """Whether the text is the current URN of this schema or an old one."""
    return schema.urn.lower() == small_letters(urn) or map_urn(urn, schema) == schema.urn


def repair_name(
    name: str, schema: ResourceSchema, repairs: Repairs
) -> Attribute | Extension | None:
    """What a misspelled name means, or None.

    None means that it is ignored (password, unknown names) or refused, depending on the profile.
    """
    if len(name) > LONGEST_NAME:
        return None
    if name.lower() == "password":
        repairs.fire("password-dropped")
        return None
    urn = map_urn(name, schema)
    found = schema.extension(urn) if urn is not None else None
    if found is not None:
        return found if repairs.fire("old-urn") else None
    if ":" in name:
        head, _, rest = name.rpartition(":")
        urn = map_urn(head, schema)
        meant = schema.resolve(f"{urn}:{rest}") if urn is not None else None
        if meant is not None:
            return meant if repairs.fire("old-urn") else None
    attribute = schema.extension_attribute(name)
    if attribute is not None:
        return attribute if repairs.fire("extension-name-in-core") else None
    near = near_urn(name, schema)
    if near is not None:
        return near if repairs.fire("near-urn") else None
    near = near_name(name, schema)
    return near if near is not None and repairs.fire("near-name") else None

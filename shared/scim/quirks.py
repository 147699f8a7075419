"""What identity providers send that RFC 7643 and 7644 do not allow, repaired by name.

Each rule stands for a class of oddities, never for one recorded body. They run ahead of
validation: on a value that is not of its attribute's kind, on a name that no schema knows, on
the shape of an operation. The `compatible` profile has them on, `interop` off. Which fired is
recorded by name, so that it can be counted; nothing of the value is.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from shared.scim.profile import Profile
from shared.scim.schema import ENTERPRISE_URN, Attribute, Extension, ResourceSchema


@dataclass(frozen=True, slots=True)
class Rule:
    """A repair: its name in counters and documentation, and what it does in one line."""

    name: str
    doc: str


RULES = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Rule("blank-element-dropped", "An element whose value is blank is left out."),
            Rule("blank-is-unassigned", "A blank text unassigns an attribute that may be absent."),
            Rule("boolean-as-text", 'The texts "True" and "false", in any case, are booleans.'),
            Rule("create-by-filter", "A path filter that matches nothing creates the element."),
            Rule("extension-name-in-core", "An extension's attribute named without its URN."),
            Rule("last-primary-wins", "Of several primary elements the last one is primary."),
            Rule("list-of-one", "A list of one where a filter selects elements is that one."),
            Rule("manager-id", "SCIM 1's managerId is manager.value."),
            Rule("missing-schemas", "A body without `schemas` is read as what its address says."),
            Rule("number-as-text", "A text of digits is a number where a number belongs."),
            Rule("object-for-list", "An object where a list belongs is a list of one."),
            Rule("old-urn", "URNs of SCIM 1, of drafts, or misspelt are those of SCIM 2."),
            Rule("password-dropped", "A password is dropped: never kept, logged or passed on."),
            Rule("path-as-name", "A name in a path-less PATCH value may be a path."),
            Rule("path-less-patch", "A PATCH operation without path is split by its names."),
            Rule("read-only-dropped", "A read-only name in a path-less PATCH value is ignored."),
            Rule("reference-as-list", "A list of one where one reference belongs is that one."),
            Rule("reference-as-text", "A bare id is a reference to the resource of that id."),
            Rule("reference-no-uri", "A reference that is no URI is kept as given."),
            Rule("remove-by-value", "A list beside the path of a remove names what to remove."),
            Rule("surrounding-space", "White space around an e-mail address is cut off."),
            Rule("unknown-attribute", "What no schema knows is ignored."),
            Rule("value-path-continued", "A comparison goes on after a filter in brackets."),
            Rule("unquoted-filter-value", "A filter's value may come without quotation marks."),
        )
    }
)

_OLD_ENTERPRISE = re.compile(
    r"urn:(?:ietf:params:)?scim:schemas:extension:enterprise:[0-9]\.[0-9]:?(?:user)?", re.IGNORECASE
)
_OLD_CORE = re.compile(
    r"urn:(?:ietf:params:)?scim:schemas:core:[0-9]\.[0-9](?::?(?P<type>user|group))?",
    re.IGNORECASE,
)


class Repairs:
    """The rules in force for one request, and the names of those that fired, in order."""

    __slots__ = ("_fired", "lenient", "profile")

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.lenient = profile is Profile.COMPATIBLE
        self._fired: dict[str, None] = {}

    def fire(self, name: str) -> bool:
        """Whether the rule is in force; if so it counts as used."""
        if self.lenient:
            self._fired[RULES[name].name] = None
        return self.lenient

    @property
    def fired(self) -> tuple[str, ...]:
        """The names of the rules used so far."""
        return tuple(self._fired)


def repair_boolean(value: Any, repairs: Repairs) -> Any:
    """`"True"` and `"false"` as booleans; anything else as it came."""
    if isinstance(value, str):
        meant = {"true": True, "false": False}.get(value.strip().lower())
        if meant is not None and repairs.fire("boolean-as-text"):
            return meant
    return value


def repair_number(value: Any, repairs: Repairs) -> Any:
    """`"12"` as 12, at most 18 digits; anything else as it came."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value) if repairs.fire("number-as-text") else value
    return value


def repair_complex(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """An element of a complex attribute that is no object: a bare id, a list of one reference."""
    if not attribute.is_resource_reference:
        return value
    if (
        isinstance(value, list)
        and not attribute.multi_valued
        and len(value) == 1
        and repairs.fire("reference-as-list")
    ):
        value = value[0]
    if isinstance(value, str) and repairs.fire("reference-as-text"):
        return {"value": value}
    return value


def repair_list(attribute: Attribute, value: Any, repairs: Repairs) -> Any:
    """A single element where a list belongs."""
    if isinstance(value, dict) and repairs.fire("object-for-list"):
        return [value]
    if (
        isinstance(value, str)
        and attribute.is_resource_reference
        and repairs.fire("object-for-list")
    ):
        return [value]
    return value


def repair_sub_name(attribute: Attribute, name: str, repairs: Repairs) -> Attribute | None:
    """The sub-attribute meant by a name that RFC 7643 does not know, or None."""
    if name.lower() == "managerid" and attribute.name == "manager" and repairs.fire("manager-id"):
        return attribute.subs["value"]
    return None


def map_urn(urn: str, schema: ResourceSchema) -> str | None:
    """The SCIM 2 URN meant by one of SCIM 1, a draft or a misspelling, or None."""
    if _OLD_ENTERPRISE.fullmatch(urn):
        return ENTERPRISE_URN if schema.extension(ENTERPRISE_URN) is not None else None
    core = _OLD_CORE.fullmatch(urn)
    if core is not None and (core["type"] or schema.name).lower() == schema.name.lower():
        return schema.urn
    return None


def repair_name(
    name: str, schema: ResourceSchema, repairs: Repairs
) -> Attribute | Extension | None:
    """What a name stands for that the schema does not know as it is spelt, or None.

    None means that it is to be ignored (password, unknown names) or refused, by the profile.
    """
    if name.lower() == "password":
        repairs.fire("password-dropped")
        return None
    if ":" in name:
        urn = map_urn(name, schema)
        found = schema.extension(urn) if urn is not None else None
        if found is not None:
            return found if repairs.fire("old-urn") else None
        head, _, rest = name.rpartition(":")
        urn = map_urn(head, schema)
        meant = schema.resolve(f"{urn}:{rest}") if urn is not None else None
        return meant if meant is not None and repairs.fire("old-urn") else None
    attribute = schema.extension_attribute(name)
    if attribute is not None and repairs.fire("extension-name-in-core"):
        return attribute
    return None

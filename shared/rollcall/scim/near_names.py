"""Near names: misspellings that can mean only one attribute (RFC 7643 §2.1, RFC 7644 §3.10).

Examples are `email` for `emails`, `user_name` for `userName`, and a dot after a schema's URN. A
name that could mean two attributes is not a near name, and neither is a synonym (`mail`,
`enabled`).
"""

import re
from functools import cache

from rollcall.scim.schema import USER, Attribute, ResourceSchema

_FILLING = re.compile(r"[_\- ]")
_LONGEST = 300
_OTHER_CORE = re.compile(r"urn:(?:ietf:params:)?scim:(?:schemas?:)?(?:core|api)\b.*", re.IGNORECASE)
_OLD_ENTERPRISE = (
    r"urn:(?:ietf:params:)?scim:schemas:extension:enterprise:[0-9]\.[0-9]:?(?:user)?"
    r"|enterprise-?user"
)


def near_name(name: str, schema: ResourceSchema) -> Attribute | None:
    """The attribute that a misspelled name without a schema means, or None.

    Underscores, hyphens and spaces are ignored, and a singular stands for a multi-valued attribute.
    """
    if len(name) > _LONGEST or ":" in name:
        return None
    return _spellings(schema).get(_FILLING.sub("", name).lower())


def near_urn(name: str, schema: ResourceSchema) -> Attribute | None:
    """The attribute that a name after a schema of the resource type means, however it is joined.

    `…:User.active`, `…:User/active`, `User:active`; also an attribute after the URN of another
    schema of the same resource type, such as `…enterprise:2.0:User:active`.
    """
    match = _behind_schema(schema).fullmatch(name) if len(name) <= _LONGEST else None
    if match is None:
        return None
    rest = match["rest"]
    return schema.attribute(rest) or schema.extension_attribute(rest) or near_name(rest, schema)


def near_sub(attribute: Attribute, name: str) -> Attribute | None:
    """The sub-attribute that a name means without underscores, hyphens or spaces, or None."""
    plain = _FILLING.sub("", name) if len(name) <= _LONGEST else name
    return attribute.sub(plain) if plain != name else None


def is_of_the_standard(urn: str) -> bool:
    """Whether a URN, or a name that begins with one, belongs to the core schemas or messages."""
    return _OTHER_CORE.fullmatch(urn) is not None


@cache
def _behind_schema(schema: ResourceSchema) -> re.Pattern[str]:
    enterprise = rf"|{_OLD_ENTERPRISE}" if schema is USER else ""
    extensions = "".join(f"|{re.escape(urn)}" for urn in schema.extension_urns)
    return re.compile(
        rf"(?:{re.escape(schema.urn)}{extensions}{enterprise}"
        rf"|urn:(?:ietf:params:)?scim:schemas:core:[0-9]\.[0-9](?::?{schema.name})?"
        rf"|{schema.name})(?:[.:/]+)(?P<rest>[A-Za-z][A-Za-z0-9_-]*)",
        re.IGNORECASE,
    )


@cache
def _spellings(schema: ResourceSchema) -> dict[str, Attribute]:
    """Near spelling → attribute; a spelling that two attributes share is left out."""
    found: dict[str, set[Attribute]] = {}
    own = list(dict.fromkeys(schema.attributes.values()))
    for extension in dict.fromkeys(schema.extensions.values()):
        own.extend(dict.fromkeys(extension.attributes.values()))
    for attribute in own:
        for spelling in _near_spellings(attribute):
            found.setdefault(spelling, set()).add(attribute)
    return {spelling: meant.pop() for spelling, meant in found.items() if len(meant) == 1}


def _near_spellings(attribute: Attribute) -> set[str]:
    name = attribute.name.lower()
    spellings = {name}
    if attribute.multi_valued and attribute.is_complex:
        spellings.add(name.removesuffix("s"))
        if name.endswith("sses"):
            spellings.add(name.removesuffix("es"))
    return spellings

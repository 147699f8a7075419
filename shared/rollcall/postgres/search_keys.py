"""Key columns made from a member's document for look-ups: stored on write, used by filters.

Names and addresses are compared without letter case (RFC 7643 §4.1.1, `caseExact` false). Python
folds the case on both sides, so the result does not depend on the server's locale.
"""

from collections.abc import Mapping
from typing import Any, Final

from rollcall.scim.match import folded_display_name

TYPE_SEPARATOR: Final = "\x1f"
"""Between an address's type and its value; no attribute may contain it (a control character)."""


def member_display_name_key(resource: Mapping[str, Any]) -> str | None:
    """The key of a User's `displayName`, or None if there is none."""
    value = resource.get("displayName")
    return folded_display_name(value) if isinstance(value, str) and value else None


def email_keys(resource: Mapping[str, Any]) -> list[str]:
    """Keys of all `emails` of a User: each value, and each value with its type in front."""
    keys: set[str] = set()
    for email in resource.get("emails") or ():
        value = email.get("value")
        if not isinstance(value, str):
            continue
        keys.add(email_key(value))
        if isinstance(email.get("type"), str):
            keys.add(typed_email_key(email["type"], value))
    return sorted(keys)


def email_key(value: str) -> str:
    """The key of an address of any type."""
    return value.casefold()


def typed_email_key(kind: str, value: str) -> str:
    """The key of an address of one type, for example `work`."""
    return f"{kind.casefold()}{TYPE_SEPARATOR}{value.casefold()}"

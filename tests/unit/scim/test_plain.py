"""What is seen to be plain is canonical by the careful way too."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.plain import is_plain, plain_kinds
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import GROUP, USER, Attribute
from rollcall.scim.values import canonical_simple

TABLES = [
    USER.attributes,
    GROUP.attributes,
    *(extension.attributes for extension in USER.extensions.values()),
    *(attribute.subs for attribute in USER.attributes.values() if attribute.is_complex),
]
PLAIN: list[tuple[Attribute, int]] = [
    (table[name], longest) for table in TABLES for name, longest in plain_kinds(table).items()
]
VALUES = (
    st.text(max_size=12)
    | st.sampled_from(
        ["", " ", "ana", "a@x.example", "Zoë", "a\nb", "\u2028", "\u200b", "x" * 5000]
    )
    | st.emails()
    | st.booleans()
    | st.none()
    | st.integers()
)


@given(plain=st.sampled_from(PLAIN), value=VALUES, profile=st.sampled_from(list(Profile)))
def test_plain_values_are_canonical_and_need_no_repair(
    plain: tuple[Attribute, int], value: Any, profile: Profile
) -> None:
    attribute, longest = plain
    if not is_plain(value, longest):
        return
    repairs = Repairs(profile)

    assert canonical_simple(attribute, value, repairs) == value
    assert repairs.fired == ()


def test_ordinary_values_are_plain() -> None:
    kinds = plain_kinds(USER.attributes)

    assert is_plain("ana", kinds["userName"])
    assert is_plain("Zoë Öz", kinds["displayName"])
    assert is_plain(False, kinds["active"])
    assert is_plain("a@x.example", plain_kinds(USER.attributes["emails"].subs)["value"])
    assert not is_plain("a\nb", kinds["displayName"])
    assert not is_plain(" ", kinds["title"])

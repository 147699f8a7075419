"""RFC 7644 §3.4.2.2: the grammar and its types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.errors import InvalidFilter
from rollcall.scim.filter import (
    And,
    Comparison,
    Filter,
    Not,
    Or,
    Present,
    ValuePath,
    parse_filter,
    read_filter,
)
from rollcall.scim.path import AttributePath
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, USER, USER_URN, Attribute, ResourceSchema


def read(text: str, schema: ResourceSchema = USER, profile: Profile = Profile.COMPATIBLE) -> Filter:
    return parse_filter(text, schema, profile)


def path(text: str, schema: ResourceSchema = USER) -> AttributePath:
    """The path of a core attribute, or of one of its sub-attributes."""
    name, _, sub = text.partition(".")
    attribute = schema.attribute(name)
    assert attribute is not None
    return AttributePath(attribute, attribute.sub(sub) if sub else None)


def equals(text: str, value: object, schema: ResourceSchema = USER) -> Comparison:
    assert value is None or isinstance(value, str | bool)
    return Comparison(path(text, schema), "eq", value)


@pytest.mark.parametrize("text", [
    'userName eq "ana"', 'USERNAME EQ "ana"', '  userName   eq   "ana"  ', '(userName eq "ana")',
    f'{USER_URN}:userName eq "ana"', 'userName eq "\\u0061na"', '((userName eq "ana"))',
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_spellings_of_one_comparison(text: str, profile: Profile) -> None:
    assert read(text, profile=profile) == equals("userName", "ana")


@pytest.mark.parametrize(("text", "wanted"), [
    ("title pr", Present(path("title"))),
    ("active eq true", equals("active", True)),
    ("title eq null", equals("title", None)),
    ('name.givenName eq "Ana"', equals("name.givenName", "Ana")),
    ('emails eq "a@x.example"', equals("emails.value", "a@x.example")),
    ('emails.value eq "a@x.example"', equals("emails.value", "a@x.example")),
    ('id eq "7"', equals("id", "7")),
    (f'schemas eq "{USER_URN}"', equals("schemas", USER_URN)),
    ('groups.value eq "g"', equals("groups.value", "g")),
    ('meta.lastModified gt "2026-01-01T00:00:00Z"',
     Comparison(path("meta.lastModified"), "gt", "2026-01-01T00:00:00Z")),
    ('not (active eq true)', Not(equals("active", True))),
    ('not(active eq true)', Not(equals("active", True))),
    ('title pr and active eq true', And((Present(path("title")), equals("active", True)))),
    ('emails[type eq "work" and value co "@x"]',
     ValuePath(path("emails"), And((equals("emails.type", "work"),
                                    Comparison(path("emails.value"), "co", "@x"))))),
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_legal_filters(text: str, wanted: Filter, profile: Profile) -> None:
    assert read(text, profile=profile) == wanted


def test_and_binds_closer_than_or() -> None:
    a, b, c = (Present(path(name)) for name in ("title", "active", "locale"))

    assert read("title pr or active pr and locale pr") == Or((a, And((b, c))))
    assert read("(title pr or active pr) and locale pr") == And((Or((a, b)), c))


def test_extension_attributes_by_urn() -> None:
    found = read(f'{ENTERPRISE_URN}:department eq "Sea"')
    manager = read(f'{ENTERPRISE_URN}:manager eq "m1"')

    assert isinstance(found, Comparison)
    assert found.path.text == f"{ENTERPRISE_URN}:department"
    assert isinstance(manager, Comparison)
    assert manager.path.text == f"{ENTERPRISE_URN}:manager.value"


@pytest.mark.parametrize(("text", "wanted"), [
    ("userName eq bjensen", equals("userName", "bjensen")),
    ("externalId eq mara.lindqvist", equals("externalId", "mara.lindqvist")),
    ("externalId eq 00123", equals("externalId", "00123")),
    ("externalId eq true", equals("externalId", "true")),
    ("userName eq ana@x.example", equals("userName", "ana@x.example")),
    ("(userName eq ana)", equals("userName", "ana")),
    ("active eq True", equals("active", True)),
    ('active eq "False"', equals("active", False)),
    ("meta.created ge 2026-01-01T00:00:00Z",
     Comparison(path("meta.created"), "ge", "2026-01-01T00:00:00Z")),
    ('emails[type eq "work"].value eq "a@x.example"',
     ValuePath(path("emails"), And((equals("emails.type", "work"),
                                    equals("emails.value", "a@x.example"))))),
    ("emails[type eq work]", ValuePath(path("emails"), equals("emails.type", "work"))),
])  # fmt: skip
def test_what_only_the_compatible_profile_reads(text: str, wanted: Filter) -> None:
    assert read(text) == wanted
    with pytest.raises(InvalidFilter):
        read(text, profile=Profile.INTEROP)


def test_membership_probe_of_entra_in_both_orders() -> None:
    group, member = equals("id", "G", GROUP), equals("members.value", "U", GROUP)

    assert read('id eq "G" and members eq "U"', GROUP) == And((group, member))
    assert read('members eq "U" and id eq "G"', GROUP) == And((member, group))


@pytest.mark.parametrize("text", [
    "", " ", "userName", "userName eq", 'eq "x"', '"x" eq userName', 'userName eq "x',
    "userName pr pr",
    'userName eq "x" and', 'and userName eq "x"', "(userName pr", "userName pr)", "not userName pr",
    'userName eq "x" userName eq "y"', "emails[type pr", "emails[]", "emails.type[value pr]",
    "userName[value pr]", "emails[emails[type pr]]", "userName eq [1]", 'userName eq "\\x"', "()",
    'userName eq "a\nb"', 'userName eq "\\u0000"', 'userName eq "\\ud800"', "name eq null extra",
    'name eq "Ana"', "not", "userName eq x y",
    "userName eq 'ana'",
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_what_is_no_filter_is_invalid_filter(text: str, profile: Profile) -> None:
    with pytest.raises(InvalidFilter):
        read(text, profile=profile)


def test_unknown_operator_is_named() -> None:
    with pytest.raises(InvalidFilter, match="`like`"):
        read('userName like "x"')


@pytest.mark.parametrize("text", [
    'nobody eq "x"', 'name.nick eq "x"', 'emails[nick eq "x"]', 'urn:x:y:z eq "x"',
    'password eq "x"',
    '__class__ eq "x"', f"{ENTERPRISE_URN} pr",
])  # fmt: skip
def test_unknown_attribute_is_named(text: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        read(text)

    assert caught.value.attribute or "cannot be read" in caught.value.detail


@pytest.mark.parametrize("text", [
    "active gt true", 'active co "t"', 'meta.created co "2026"', 'meta.created eq "yesterday"',
    'meta.created gt "2026-02-30T00:00:00Z"', 'active eq "maybe"', "active eq 5", "title gt null",
    'x509Certificates.value lt "AA=="', "emails.primary sw true",
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_operator_and_value_must_suit_the_attribute(text: str, profile: Profile) -> None:
    with pytest.raises(InvalidFilter) as caught:
        read(text, profile=profile)

    assert caught.value.attribute


@pytest.mark.parametrize("text", [
    'userName eq "' + "x" * 9000 + '"',
    " and ".join(["title pr"] * 250),
    "(" * 100 + "title pr" + ")" * 100,
    "not (" * 40 + "title pr" + ")" * 40,
    "(" * 8000,
])  # fmt: skip
def test_limits(text: str) -> None:
    with pytest.raises(InvalidFilter):
        read(text)


def test_what_fits_the_limits_is_read() -> None:
    assert read(" or ".join(f'id eq "{number}"' for number in range(199)))
    assert read("(" * 30 + "title pr" + ")" * 30)


WORDS = st.sampled_from(
    ["userName", "emails", "eq", "pr", "and", "or", "not", "(", ")", "[", "]", '"x"', "true", "5",
     "type", ".value", " ", "x", "\0", "\ud800", '"', "\\"]
)  # fmt: skip


@given(text=st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=20))
def test_no_text_raises_anything_but_invalid_filter(text: str) -> None:
    for profile in Profile:
        try:
            read(text, profile=profile)
        except InvalidFilter as error:
            error.detail.encode()


def test_attributes_are_compared_as_what_they_are() -> None:
    """Two equal trees are one entry in the caches; two attributes never are."""
    assert read('title eq "x"') == read('Title EQ "x"')
    assert read('title eq "x"') != read('nickName eq "x"')
    assert isinstance(USER.attribute("title"), Attribute)


@pytest.mark.parametrize(("text", "rule"), [
    ("userName eq ana", "unquoted-filter-value"),
    ("active eq True", "boolean-as-text"),
    ('emails[type eq "work"].value eq "x"', "value-path-continued"),
    ('department eq "Sea"', "extension-name-in-core"),
])  # fmt: skip
def test_repairs_are_reported_by_name(text: str, rule: str) -> None:
    assert rule in read_filter(text, USER, Profile.COMPATIBLE).repairs
    assert read_filter('userName eq "x"', USER, Profile.COMPATIBLE).repairs == ()

"""Filters as predicates (RFC 7644 §3.4.2.2)."""

import pytest

from rollcall.scim.body.json_body import Json
from rollcall.scim.filter import parse_filter
from rollcall.scim.match import compile_filter
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, USER

ANA: Json = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": "7",
    "userName": "Ana@X.example",
    "externalId": "Ext",
    "displayName": "Ana Sailor",
    "active": True,
    "title": "Buyer",
    "name": {"givenName": "Ana"},
    "emails": [
        {"value": "ana@x.example", "type": "work", "primary": True},
        {"value": "ana@home.example", "type": "home"},
    ],
    ENTERPRISE_URN: {"department": "Sea", "manager": {"value": "m1"}},
    "groups": [{"value": "g1"}],
    "meta": {"lastModified": "2026-03-01T12:00:00Z", "resourceType": "User"},
}


@pytest.mark.parametrize("text", [
    'userName eq "ana@x.EXAMPLE"', 'userName sw "ANA"', 'title co "UY"', 'title ew "er"',
    'externalId eq "Ext"', "active eq true", "active ne false", 'emails co "home"',
    'emails.type eq "WORK"', 'emails[type eq "home" and value ew "home.example"]',
    'emails[type eq "work" and primary eq true]', 'emails ne "ana@x.example"',
    "name pr", "name.givenName pr", "nickName eq null", 'nickName ne "x"', "not (nickName pr)",
    'meta.lastModified gt "2026-03-01T11:00:00Z"',
    'meta.lastModified eq "2026-03-01T13:00:00+01:00"',
    'meta.lastModified le "2026-03-01T12:00:00.000Z"', 'title gt "Apple"', 'title le "buyer"',
    f'{ENTERPRISE_URN}:department eq "sea"', f'{ENTERPRISE_URN}:manager eq "m1"', 'groups eq "g1"',
    'title eq "x" or id eq "7"', 'title pr and not (id eq "8")', 'emails.primary eq true',
    'displayName eq "ana  SAILOR"', 'displayName sw "ＡNA"', 'displayName pr',
    'schemas eq "urn:ietf:params:scim:schemas:core:2.0:User"', "emails ne null",
])  # fmt: skip
def test_filter_that_matches(text: str) -> None:
    assert compile_filter(parse_filter(text, USER, Profile.COMPATIBLE))(ANA)


@pytest.mark.parametrize("text", [
    'userName eq "bo"', 'externalId eq "ext"', 'id eq "8"', "active eq false", "nickName pr",
    'nickName eq "x"', 'nickName co "x"', 'nickName gt "a"', "title eq null", "emails eq null",
    'emails[type eq "work" and value ew "home.example"]',
    'emails[type eq "home" and primary eq true]',
    'phoneNumbers[type pr]', 'meta.lastModified lt "2026-03-01T12:00:00Z"',
    f'{ENTERPRISE_URN}:costCenter pr', 'title eq "x" and id eq "7"', 'userName eq "a\u200bb"',
    'emails[not (type eq "home" or type eq "work")]',
])  # fmt: skip
def test_filter_that_does_not_match(text: str) -> None:
    assert not compile_filter(parse_filter(text, USER, Profile.COMPATIBLE))(ANA)

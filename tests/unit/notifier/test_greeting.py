"""Which names a mail greets with: what names are made of, and nothing that becomes a link."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_notifier.greeting import MAX_GREETING, greeting_name


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ({"displayName": "Ana B", "name": {"formatted": "Other"}}, "Ana B"),
        ({"displayName": " ", "name": {"formatted": "Ana C"}}, "Ana C"),
        ({"name": {"givenName": "Ana", "familyName": "D"}}, "Ana D"),
        ({"displayName": "Ana (Sales)", "name": {"givenName": "Ana"}}, "Ana"),
        ({"userName": "ana@x.nl"}, ""),
        ({"displayName": 7, "name": "Ana"}, ""),
    ],
)
def test_the_first_name_that_is_one_is_used(resource: dict[str, Any], name: str) -> None:
    assert greeting_name(resource) == name


@pytest.mark.parametrize(
    "name",
    [
        "J. Smith",
        "Jan-Willem van 't Hoff Jr.",
        "O\u2019Brien",
        "Zoë Łukasiewicz",
        "Нина Ильина",
        "李小龙",
        "محمد الأمين",
        "नीलम शर्मा",
        "Nguye\u0302\u0303n",
    ],
)
def test_names_of_people_are_greeted(name: str) -> None:
    greeted = greeting_name({"displayName": name})

    assert greeted == unicodedata.normalize("NFKC", name).replace("\u2019", "'")


@pytest.mark.parametrize(
    "name",
    [
        "ana@x.nl",
        "Win at http://evil.example",
        "evil.example",
        "банк.рф",
        "evil。com",
        "evil｡com",
        "evil．com",
        "ｅｖｉｌ．ｃｏｍ",
        "evil․com",
        "evil\u200b.com",
        "evil\u00ad.com",
        "www.evil",
        ".com",
        "evil..com",
        "1.2.3.4",
        "١٢٣٤",
        "Ⓐ①",
        "your account is locked, call +31 20 555 0100",
        "call ²⁰ now",
        "tel:0031205550100",
        "Ana\u202egnp",
        "Ana & co",
        "Ana/Bob",
        "Z\u0300\u0301\u0302\u0303\u0304\u0305",
        "- - '",
        "a" * (MAX_GREETING + 1),
    ],
)
def test_what_is_more_than_a_name_is_left_out(name: str) -> None:
    for resource in (
        {"displayName": name},
        {"name": {"formatted": name}},
        {"name": {"givenName": name}},
    ):
        assert greeting_name(resource) == ""


@given(st.text(max_size=60))
def test_a_greeting_holds_nothing_but_letters_marks_and_what_joins_them(text: str) -> None:
    greeted = greeting_name({"displayName": text})

    assert len(greeted) <= MAX_GREETING
    for index, character in enumerate(greeted):
        at_the_end = greeted[index + 1 : index + 2] in ("", " ")
        assert (
            unicodedata.category(character)[0] in "LM"
            or character in " '-"
            or (character == "." and index and at_the_end)
        )

"""A filter that was seen before is not parsed again: identity providers send the same ones."""

from typing import Any

import pytest

from rollcall.scim import filter as filters
from rollcall.scim.errors import InvalidFilter
from rollcall.scim.limits import LIMITS, FilterLimits, Limits
from rollcall.scim.profile import Profile
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall_ingress.read.listing import read_listing

BASE_URL = "https://scim.example/v2/x"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were parsed, in order, from an empty memory on."""
    texts: list[str] = []

    class Counting(filters._Parser):
        def __init__(self, text: str, *others: Any) -> None:
            texts.append(text)
            super().__init__(text, *others)

    filters._read_filter.cache_clear()
    monkeypatch.setattr(filters, "_Parser", Counting)
    return texts


def ask(
    text: str,
    schema: ResourceSchema = USER,
    profile: Profile = Profile.COMPATIBLE,
    limits: Limits = LIMITS,
) -> Any:
    return read_listing({"filter": text}, schema, profile, limits, BASE_URL).search


def test_a_list_with_a_filter_that_was_seen_before_parses_nothing(parsed: list[str]) -> None:
    text = 'userName eq "ana@example.org" and active eq true'

    first = ask(text)
    again = [ask(text) for _ in range(50)]

    assert parsed == [text]
    assert again == [first] * 50


def test_what_a_filter_means_elsewhere_is_read_anew(parsed: list[str]) -> None:
    text = 'displayName eq "Crew"'

    ask(text, USER)
    ask(text, GROUP)
    ask(text, USER, Profile.INTEROP)
    ask(text, GROUP)

    assert parsed == [text] * 3


def test_a_lower_limit_is_not_passed_by_because_a_filter_was_seen_before(parsed: list[str]) -> None:
    text = "title pr or nickName pr or active eq true"
    low = Limits(filter=FilterLimits(nodes=3))

    ask(text)
    for _ in range(2):
        with pytest.raises(InvalidFilter, match="3 parts"):
            ask(text, limits=low)

    assert parsed == [text] * 3

"""A filter that was seen before is not parsed again: identity providers send the same ones."""

from typing import Any

import pytest

from rollcall.scim import filter as filters
from rollcall.scim.errors import InvalidFilter
from rollcall.scim.limits import MAX_FILTER_NODES
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
) -> Any:
    return read_listing({"filter": text}, schema, profile, BASE_URL).search


def test_a_list_with_a_filter_that_was_seen_before_parses_nothing(parsed: list[str]) -> None:
    text = 'userName eq "ana@example.org" and active eq true'

    first = ask(text)
    again = [ask(text) for _ in range(50)]

    assert parsed == [text]
    assert again == [first] * 50


def test_what_a_filter_means_elsewhere_is_read_again(parsed: list[str]) -> None:
    text = 'displayName eq "Crew"'

    ask(text, USER)
    ask(text, GROUP)
    ask(text, USER, Profile.INTEROP)
    ask(text, GROUP)

    assert parsed == [text] * 3


def test_a_filter_over_the_limit_is_refused_each_time(parsed: list[str]) -> None:
    text = " or ".join(["title pr"] * (MAX_FILTER_NODES + 1))

    for _ in range(2):
        with pytest.raises(InvalidFilter, match=f"{MAX_FILTER_NODES} parts"):
            ask(text)

    assert parsed == [text] * 2

"""RFC 7240: what a client would like of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.prefer import NO_PREFERENCES, Preferences, parse_prefer
from rollcall.scim.profile import Profile


@pytest.mark.parametrize(("lines", "wanted"), [
    ([], NO_PREFERENCES), ([""], NO_PREFERENCES), ([" , ;,"], NO_PREFERENCES),
    (["return=minimal"], Preferences(returns="minimal")),
    (["return=representation"], Preferences(returns="representation")),
    (["RETURN = Minimal"], Preferences(returns="minimal")),
    (['return="minimal"'], Preferences(returns="minimal")),
    (['return="mini\\mal"'], Preferences(returns="minimal")),
    (["handling=strict, return=minimal"], Preferences("minimal", "strict")),
    (["handling=lenient", "return=minimal"], Preferences("minimal", "lenient")),
    (["return=minimal; foo=bar; baz , handling=strict"], Preferences("minimal", "strict")),
    (['return=minimal; foo="a, return=representation; \\" b"'], Preferences(returns="minimal")),
    (['other="x, return=minimal", handling=strict'], Preferences(handling="strict")),
    (["return=minimal, return=representation"], Preferences(returns="minimal")),
    (["return=much, return=minimal"], NO_PREFERENCES),
    (["return, return=minimal"], NO_PREFERENCES),
    (["handling=strict", "handling=lenient"], Preferences(handling="strict")),
    (["respond-async, wait=10"], Preferences(respond_async=True, wait_s=10)),
    (["Respond-Async"], Preferences(respond_async=True)),
    (["wait=-1"], NO_PREFERENCES), (["wait=١"], NO_PREFERENCES),
    (["wait=" + "9" * 5000], NO_PREFERENCES),
    (["depth-noroot, return=minimal"], Preferences(returns="minimal")),
    (["re turn=minimal, handling=strict"], Preferences(handling="strict")),
    (['return="minimal'], NO_PREFERENCES),
    (["=minimal, handling==strict"], NO_PREFERENCES),
])  # fmt: skip
def test_preferences_are_read_as_one_list(lines: list[str], wanted: Preferences) -> None:
    assert parse_prefer(lines) == wanted


@given(st.lists(st.text(alphabet=st.sampled_from('return=minal;", \\\t\x00é'), max_size=40)))
def test_nothing_that_a_client_writes_is_an_error(lines: list[str]) -> None:
    assert parse_prefer(lines).handling is None


@pytest.mark.parametrize("text", ['"' * 8000, "a=" * 4000, '\\"' * 4000, " " * 8000, ";" * 8000])
def test_long_nonsense_is_read_over(text: str) -> None:
    assert parse_prefer([text]) == NO_PREFERENCES


@pytest.mark.parametrize("profile", list(Profile))
def test_handling_decides_on_the_profile_of_one_request(profile: Profile) -> None:
    assert Preferences().profile(profile) is profile
    assert Preferences(handling="strict").profile(profile) is Profile.INTEROP
    assert Preferences(handling="lenient").profile(profile) is Profile.COMPATIBLE


def test_followed_preferences_are_in_the_answer() -> None:
    both = Preferences("minimal", "strict", respond_async=True, wait_s=3)

    assert both.applied() == "return=minimal, handling=strict"
    assert both.applied(returns=False) == "handling=strict"
    assert Preferences("representation").applied(returns=False) is None
    assert Preferences(respond_async=True).applied() is None

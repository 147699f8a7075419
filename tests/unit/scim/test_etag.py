"""RFC 7644 §3.14; RFC 9110 §8.8.3 and §13.1: the conditions that name entity tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.errors import InvalidValue
from rollcall.scim.etag import ANY, Versions, names, none_match, read_versions, weak_etag
from tests.support.builders import an_id

ONE, TWO = an_id(1), an_id(2)


@pytest.mark.parametrize(("lines", "wanted"), [
    ([], None),
    (["*"], ANY), (["  *\t"], ANY),
    ([weak_etag(ONE)], (ONE,)), ([f'"{ONE}"'], (ONE,)),
    ([f'{weak_etag(ONE)}, "{TWO}"'], (ONE, TWO)), ([f'"{ONE}" ,, W/"{TWO}" ,'], (ONE, TWO)),
    ([weak_etag(ONE), weak_etag(TWO)], (ONE, TWO)), ([weak_etag(ONE)] * 2, (ONE,)),
    ([""], ()), (["", weak_etag(ONE)], (ONE,)), ([" , "], ()),
    (['""'], ()), (['"v1"'], ()), (['W/"a,b", "*"'], ()), ([f'"{ONE.upper()}"'], ()),
    (['"é"'], ()), ([f'"v1", "{ONE}"'], (ONE,)),
])  # fmt: skip
def test_the_lines_are_one_list_of_versions(lines: list[str], wanted: Versions | None) -> None:
    assert read_versions(lines, "If-Match") == wanted


@pytest.mark.parametrize("line", [
    ONE, f"W/{ONE}", f'w/"{ONE}"', f'"{ONE}', f'{ONE}"', f"'{ONE}'", f'"{ONE}" "{TWO}"',
    f'*, "{ONE}"', f'"{ONE}", *', "*, *", '"a b"', '"a\x00b"', 'W/"', f'W/ "{ONE}"', "x" * 8000,
    '"' * 8001,
])  # fmt: skip
def test_a_malformed_condition_is_refused_by_its_form(line: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_versions([line], "If-Match")

    assert caught.value.attribute == "If-Match"
    assert 'W/"version"' in caught.value.detail
    assert ONE not in caught.value.detail


@given(st.lists(st.text(alphabet=st.sampled_from('W/"*, \tab\x00é'), max_size=12), max_size=3))
def test_no_lines_raise_anything_else(lines: list[str]) -> None:
    try:
        versions = read_versions(lines, "If-Match")
    except InvalidValue:
        return
    assert versions in (None, ANY, ())


def test_whichever_there_is_counts_for_a_star() -> None:
    assert names(ANY, ONE)
    assert names((TWO, ONE), ONE)
    assert not names((TWO,), ONE)
    assert not names((), ONE)


def test_a_copy_is_current_if_its_version_is_named() -> None:
    assert none_match([weak_etag(ONE)], ONE)
    assert none_match([f'"{TWO}"', f'"{ONE}"'], ONE)
    assert none_match(["*"], ONE)
    assert not none_match([weak_etag(TWO)], ONE)
    assert not none_match(['"something-else"'], ONE)
    assert not none_match([], ONE)
    with pytest.raises(InvalidValue):
        none_match([ONE], ONE)

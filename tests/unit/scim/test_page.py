"""RFC 7644 §3.4.2.4."""

import pytest

from rollcall.scim.errors import InvalidValue
from rollcall.scim.page import Page, list_response, parse_page


def read(start_index: str | None = None, count: str | None = None) -> Page:
    return parse_page(start_index, count, default=100, maximum=200)


@pytest.mark.parametrize(("start_index", "count", "wanted"), [
    (None, None, Page(1, 100)), ("", "", Page(1, 100)), ("5", "10", Page(5, 10)),
    ("0", "0", Page(1, 0)), ("-7", "-1", Page(1, 0)), ("1", "201", Page(1, 200)),
    ("+2", "007", Page(2, 7)), ("1", "9" * 5000, Page(1, 200)), ("1", "-" + "9" * 5000, Page(1, 0)),
])  # fmt: skip
def test_page_is_brought_into_its_bounds(
    start_index: str | None, count: str | None, wanted: Page
) -> None:
    assert read(start_index, count) == wanted


def test_absurd_start_is_capped() -> None:
    assert read("9" * 5000).start_index == 2**31 - 1
    assert read("101").offset == 100


@pytest.mark.parametrize(
    "text", ["x", "１", "1_0", "١", "1.5", "1e3", "--1", "0x10", "1 0", "\n1", "²"]
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        read(text)
    assert caught.value.attribute == "startIndex"

    with pytest.raises(InvalidValue) as caught:
        read("1", text)
    assert caught.value.attribute == "count"


def test_list_response_counts_what_it_holds() -> None:
    assert list_response([{"id": "7"}], 12, Page(3, 100)) == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 12,
        "startIndex": 3,
        "itemsPerPage": 1,
        "Resources": [{"id": "7"}],
    }


def test_empty_list_is_a_list() -> None:
    assert list_response([], 0, Page(1, 0))["Resources"] == []

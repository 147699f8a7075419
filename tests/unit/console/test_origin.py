"""Which requests may change something: those of the console's own pages."""

import pytest

from rollcall_console.web.origin import is_ours
from rollcall_console.web.pages import local_path

ROOT = "https://console.example.org"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": ROOT}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": ROOT}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ROOT}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": ROOT}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False),
        ({"Origin": "https://console.example.org.evil.example"}, False),
        ({"Origin": "http://console.example.org"}, False),
        ({"Origin": f"{ROOT}:8443"}, False),
        ({"Origin": ""}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_only_a_page_of_ours_may_change_something(
    method: str, headers: dict[str, str], allowed: bool
) -> None:
    assert is_ours(method, headers, ROOT) is allowed


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_needs_no_origin(method: str) -> None:
    assert is_ours(method, {"Sec-Fetch-Site": "cross-site"}, ROOT)


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/o/1/scim", "/o/1/scim"),
        ("/o?a=b", "/o?a=b"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_nobody_is_sent_elsewhere(asked: str | None, path: str) -> None:
    assert local_path(asked) == path

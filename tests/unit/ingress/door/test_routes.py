"""The raw request target: what the gate sees is what the handler gets."""

import pytest

from rollcall_ingress.door.routes import Target, read_target, route_key_of


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/v2/o/Users", Target("o", "Users", None, "")),
        ("/v2/o/Users/", Target("o", "Users", None, "")),
        ("/v2/o/Users/1", Target("o", "Users", "1", "")),
        ("/v2/o/Users/1/", Target("o", "Users", "1", "")),
        ("/v2/o/Users?a=/b/c&", Target("o", "Users", None, "a=/b/c&")),
        ("/v2/o/Users?", Target("o", "Users", None, "")),
        ("/v2/o/Users/1/2", Target("o", "Users", "1", "", False)),
        ("/v2/o//Users", Target("o", "", "Users", "")),
        ("/v2/o%2fUsers", Target("o%2fUsers", "", None, "")),
        ("/v2/o/../p/Users", Target("o", "..", "p", "", False)),
        ("/v2", Target("", "", None, "")),
        ("/v2/", Target("", "", None, "")),
        ("http://evil.example/v2/o/Users?x=1", Target("o", "Users", None, "x=1")),
        ("HTTPS://evil.example:1/v2/o", Target("o", "", None, "")),
        ("/v1/o/Users", None),
        ("/V2/o/Users", None),
        ("/v20/o/Users", None),
        ("/", None),
        ("", None),
        ("*", None),
        ("evil.example:443", None),
        ("ftp://evil.example/v2/o/Users", None),
        ("http://evil.example", None),
    ],
)
def test_targets(raw: str, target: Target | None) -> None:
    assert read_target(raw) == target


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("Users", ("users", False)),
        ("users/", ("users", False)),
        ("USERS/1", ("users", True)),
        ("Users/.search", ("users/.search", False)),
        ("Users/.SEARCH", ("users", True)),
        (".search", (".search", False)),
        (".search/1", (".search", True)),
        ("serviceConfiguration", ("serviceproviderconfig", False)),
        ("ServiceProviderConfigs", ("serviceproviderconfig", False)),
        ("schemas/urn:x", ("schemas", True)),
        ("Users%2f.search", ("users%2f.search", False)),
        ("", ("", False)),
        ("/Users", ("", True)),
    ],
)
def test_an_endpoint_is_found_in_any_letter_case_and_by_older_names(
    path: str, key: tuple[str, bool]
) -> None:
    target = read_target(f"/v2/o/{path}")

    assert target is not None
    assert route_key_of(target) == key

"""The raw request target: what the gate sees is what the handler gets."""

import pytest

from services.ingress.routes import Target, read_target


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

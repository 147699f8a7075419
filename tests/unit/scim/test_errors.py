"""RFC 7644 §3.12."""

import pytest

from rollcall.scim import errors
from rollcall.scim.errors import ScimError, from_parts


def test_status_is_text_in_the_body() -> None:
    body = errors.Uniqueness("Taken.", attribute="userName").body()

    assert body == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "409",
        "scimType": "uniqueness",
        "detail": "Taken.",
    }


def test_bare_status_has_no_scim_type() -> None:
    assert "scimType" not in errors.NotFound().body()


@pytest.mark.parametrize("error", ScimError.__subclasses__(), ids=lambda error: error.__name__)
def test_every_error_says_something_by_itself(error: type[ScimError]) -> None:
    assert len(error().detail) > 20


def test_headers_of_those_that_need_them() -> None:
    assert errors.MethodNotAllowed(("GET", "POST")).headers == {"Allow": "GET, POST"}
    assert errors.ServiceUnavailable(7).headers == {"Retry-After": "7"}
    assert errors.TooManyRequests().headers == {"Retry-After": "1"}


@pytest.mark.parametrize("original", [error("Because.") for error in (
    errors.InvalidFilter, errors.Uniqueness, errors.NotFound, errors.Forbidden,
    errors.Mutability, errors.PreconditionFailed,
)], ids=lambda error: type(error).__name__)  # fmt: skip
def test_error_survives_the_reply(original: ScimError) -> None:
    rebuilt = from_parts(original.status, original.scim_type, original.detail, "title")

    assert type(rebuilt) is type(original)
    assert rebuilt.body() == original.body()
    assert rebuilt.attribute == "title"


def test_foreign_subclass_does_not_stand_for_its_status() -> None:
    class Elsewhere(ScimError):
        """Another part's refusal."""

        status = 404

    assert Elsewhere().status == 404
    assert type(from_parts(404, None, "Gone.")) is errors.NotFound


def test_unknown_parts_keep_their_numbers() -> None:
    error = from_parts(418, "teapot", "Short and stout.")

    assert (error.status, error.scim_type) == (418, "teapot")
    assert error.body()["status"] == "418"


def test_unavailable_from_a_reply_says_when_to_come_back() -> None:
    assert from_parts(503, None, "Later.").headers["Retry-After"] == "30"

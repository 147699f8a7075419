"""Where a member is written to."""

from typing import Any

import pytest

from rollcall.directory.address import is_one_mailbox, notice_address


def email(value: str, **rest: Any) -> dict[str, Any]:
    return {"value": value, **rest}


def test_the_primary_comes_first() -> None:
    resource = {
        "userName": "ana",
        "emails": [email("work@x.nl", type="work"), email("own@x.nl", primary=True)],
    }

    assert notice_address(resource) == "own@x.nl"


def test_the_work_address_comes_before_others() -> None:
    resource = {"emails": [email("home@x.nl", type="home"), email("work@x.nl", type="WORK")]}

    assert notice_address(resource) == "work@x.nl"


def test_otherwise_the_first_one_counts() -> None:
    resource = {"emails": [email("one@x.nl", type="home"), email("two@x.nl", type="other")]}

    assert notice_address(resource) == "one@x.nl"


def test_blank_values_are_passed_over() -> None:
    resource = {
        "userName": "ana@x.nl",
        "emails": [email("  ", primary=True), {"type": "work"}, email("two@x.nl")],
    }

    assert notice_address(resource) == "two@x.nl"


def test_without_email_the_user_name_counts_if_it_is_an_address() -> None:
    assert notice_address({"userName": "ana@x.nl"}) == "ana@x.nl"
    assert notice_address({"userName": "ana@x.nl", "emails": [email(" ")]}) == "ana@x.nl"


@pytest.mark.parametrize("user_name", ["ana", "ana@", "a@x.nl, b@x.nl", "a b@x.nl", "x\\ana@y@z"])
def test_a_user_name_that_is_no_mailbox_is_no_address(user_name: str) -> None:
    assert notice_address({"userName": user_name}) is None


def test_an_email_that_is_no_mailbox_does_not_fall_through_to_another() -> None:
    """The IdP named this one; a mail to a second choice could reach a stranger."""
    resource = {
        "userName": "ana@x.nl",
        "emails": [email("ana@x.nl, eve@y.nl", primary=True), email("other@x.nl")],
    }

    assert notice_address(resource) is None


def test_nothing_at_all_is_no_address() -> None:
    assert notice_address({}) is None
    assert notice_address({"userName": None, "emails": None}) is None


@pytest.mark.parametrize(
    "text",
    [
        "ana@x.nl",
        "ana.b+c@x.nl",
        "o'neil@x.nl",
        "ana@localhost",
        "é@x.nl",
        "ana@bücher.de",
        "a!b@c",
    ],
)
def test_one_mailbox_is_taken(text: str) -> None:
    assert is_one_mailbox(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@x.nl",
        "ana@",
        "ana",
        "a@x.nl,b@x.nl",
        "a@x.nl;b@x.nl",
        "Ana <ana@x.nl>",
        "<ana@x.nl>",
        '"ana b"@x.nl',
        "ana(comment)@x.nl",
        "group:ana@x.nl;",
        "a..b@x.nl",
        ".a@x.nl",
        "a@x.nl.",
        "a@b@c",
        "a@x.nl\r\nRCPT TO:<eve@y.nl>",
        "a@x.nl\n",
        "a\x00b@x.nl",
        "a@x.nl\u2028",
        "\u202eana@x.nl",
        "ana\u200b@x.nl",
        "a@[127.0.0.1]",
        "a" * 250 + "@x.nl",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert not is_one_mailbox(text)

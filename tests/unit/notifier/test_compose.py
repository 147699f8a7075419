"""What a mail says, and what hostile names cannot do to it."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_notifier.compose import CannotBuild, Letter, Sender, clean, compose
from rollcall_notifier.greeting import greeting_name

SENDER = Sender("no-reply@rollcall.example", "Rollcall")
LINK = "https://rollcall.example/invitation/01900000-0000-7000-8000-000000000001#" + "t" * 96
LETTER = Letter(
    kind="invitation",
    address="ana@example.org",
    name="Ana",
    organisation="Sailors",
    language="en",
    message_id="<1.invitation@rollcall.example>",
    written=datetime(2026, 11, 25, 8, 0, tzinfo=UTC),
    link=LINK,
    expires=datetime(2026, 11, 30, 8, 5, tzinfo=UTC),
    is_invited=True,
)


def delivered(letter: Letter) -> EmailMessage:
    """The mail as a mail program reads it."""
    read = message_from_bytes(compose(letter, SENDER).as_bytes(), policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


def text_of(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


class Tags(HTMLParser):
    """Names of the elements, and the addresses that the page would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "background")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_an_invitation_in_english_has_its_headers() -> None:
    message = delivered(LETTER)

    assert message["Subject"] == "Invitation to Sailors"
    assert message["From"] == "Rollcall <no-reply@rollcall.example>"
    assert message["To"] == "ana@example.org"
    assert message["Message-ID"] == LETTER.message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "en"
    assert message["Date"].datetime == LETTER.written


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_text_and_html_say_who_what_and_until_when(kind: str) -> None:
    text = text_of(delivered(LETTER), kind)

    assert "Hello Ana," in text
    assert "Sailors invites you" in text
    assert LINK in text
    assert "30 November 2026, 08:05 UTC" in text


def test_the_link_stands_in_the_html_as_text_too() -> None:
    assert f">{LINK}</a>" in text_of(delivered(LETTER), "html")


def test_dutch_is_dutch() -> None:
    message = delivered(replace(LETTER, language="nl"))

    assert message["Subject"] == "Uitnodiging van Sailors"
    assert "30 november 2026" in text_of(message, "plain")
    assert '<html lang="nl">' in text_of(message, "html")


@pytest.mark.parametrize("language", ["en", "nl"])
@pytest.mark.parametrize("kind", ["invitation", "revocation", "restoration"])
@pytest.mark.parametrize("has_link", [True, False])
@pytest.mark.parametrize("name", ["Ana", ""])
def test_every_mail_is_well_formed_and_loads_nothing(
    language: Any, kind: Any, has_link: bool, name: str
) -> None:
    link = LINK if has_link or kind == "invitation" else None
    message = delivered(replace(LETTER, language=language, kind=kind, link=link, name=name))

    tags = Tags(text_of(message, "html"))
    assert tags.open == []
    assert tags.loaded == []
    assert not {"script", "img", "link", "style", "form"} & set(tags.names)
    assert "{" not in text_of(message, "plain")
    assert "\n\n\n" not in text_of(message, "plain")


def test_a_revocation_carries_no_link() -> None:
    text = text_of(delivered(replace(LETTER, kind="revocation", link=None)), "plain")

    assert "http" not in text


def test_a_restoration_of_an_invited_member_repeats_the_link_or_says_that_it_is_over() -> None:
    with_link = text_of(delivered(replace(LETTER, kind="restoration")), "plain")
    expired = text_of(delivered(replace(LETTER, kind="restoration", link=None)), "plain")
    accepted = replace(LETTER, kind="restoration", link=None, is_invited=False)

    assert LINK in with_link
    assert "expired" in expired
    assert "expired" not in text_of(delivered(accepted), "plain")


@pytest.mark.parametrize(
    "name",
    [
        "Sailors\r\nBcc: eve@example.net",
        "Sailors\nTo: eve@example.net\n\nbody",
        "Sailors\u2028Bcc: eve@example.net",
        "Sailors\x85X: y",
        "Sailors\x00",
    ],
)
def test_a_name_adds_no_header_and_no_recipient(name: str) -> None:
    message = delivered(replace(LETTER, organisation=name, name=name))

    assert message["Bcc"] is None
    assert message["X"] is None
    assert message.get_all("To") == ["ana@example.org"]
    assert "\n" not in message["Subject"]


def test_a_name_adds_no_html() -> None:
    hostile = '<script>alert(1)</script><img src="http://evil.example/x">'

    html = text_of(delivered(replace(LETTER, organisation=hostile, name=hostile)), "html")

    assert {"script", "img"} & set(Tags(html).names) == set()
    assert "&lt;script&gt;" in html


@given(name=st.text(max_size=300), organisation=st.text(max_size=300))
def test_no_name_breaks_a_mail(name: str, organisation: str) -> None:
    letter = replace(LETTER, name=greeting_name({"displayName": name}), organisation=organisation)

    message = delivered(letter)

    assert message.get_all("To") == ["ana@example.org"]
    assert Tags(text_of(message, "html")).open == []


@pytest.mark.parametrize(
    "address", ["a@x.nl, eve@y.nl", "a@x.nl\r\nBcc: eve@y.nl", "Ana <a@x.nl>", "a", ""]
)
def test_a_mail_to_anything_but_one_mailbox_cannot_be_built(address: str) -> None:
    with pytest.raises(CannotBuild):
        compose(replace(LETTER, address=address), SENDER)


def test_an_international_address_can_be_written_to() -> None:
    message = compose(replace(LETTER, address="é@bücher.example"), SENDER)

    assert [address.addr_spec for address in message["To"].addresses] == ["é@bücher.example"]


def test_direction_and_control_characters_go() -> None:
    assert clean("A\u202en\u2066a\x07\u200b  B\t") == "A n a B"


def test_a_long_name_is_cut() -> None:
    assert len(clean("x" * 500)) == 80

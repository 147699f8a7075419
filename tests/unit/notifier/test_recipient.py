"""Which addresses are one mailbox, and which are not written to."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.directory.address import is_one_mailbox
from rollcall_notifier.recipient import Recipients, digest, fold, is_public, parse_domains

KEY = b"a-secret-that-only-tests-use"
EVERYBODY = Recipients()
PRODUCTION = Recipients(only_public=True)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
DOMAINS = st.sampled_from(["acme.example", "mail.acme.example", "bücher.example", "例え.example"])
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("ana@acme.example", "ana@acme.example"),
        ("Ana@ACME.Example", "ana@acme.example"),
        ("ana+news@acme.example", "ana@acme.example"),
        ("ana+a+b@acme.example", "ana@acme.example"),
        ("+ana@acme.example", "+ana@acme.example"),
        ("ana@acme.example.", "ana@acme.example"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@BÜCHER.example", "ana@xn--bcher-kva.example"),
        ("ana@bu\u0308cher.example", "ana@xn--bcher-kva.example"),
        ("ana@XN--BCHER-KVA.example", "ana@xn--bcher-kva.example"),
        ("ana@ａｃｍｅ．ｅｘａｍｐｌｅ", "ana@acme.example"),
        ("ana@acme\u3002example", "ana@acme.example"),
        ("ana@ac\u00adme.example", "ana@acme.example"),
        ("ana@a_b.bücher.example", "ana@a_b.xn--bcher-kva.example"),
        ("ana@💌.example", "ana@xn--rr8h.example"),
        ("ana@xn--rr8h.example", "ana@xn--rr8h.example"),
        ("ａｎａ＋１@acme.example", "ana@acme.example"),
        ("\u212aim@acme.example", "kim@acme.example"),
        ("straße@acme.example", "strasse@acme.example"),
        ("a.n.a@gmail.com", "ana@gmail.com"),
        ("A.na+x@GoogleMail.com", "ana@gmail.com"),
        ("a.na@acme.example", "a.na@acme.example"),
    ],
)
def test_one_mailbox_is_one_text(written: str, folded: str) -> None:
    assert fold(written) == folded
    assert digest(KEY, written) == digest(KEY, folded)


@given(NAMES, DOMAINS, st.lists(NAMES, max_size=3), st.data())
def test_case_tags_and_forms_make_no_other_mailbox(
    name: str, domain: str, tags: list[str], data: st.DataObject
) -> None:
    local = "+".join([name, *tags])
    forms = [str.upper, str.lower, str.title, lambda text: unicodedata.normalize("NFD", text)]
    first, second = data.draw(st.sampled_from(forms)), data.draw(st.sampled_from(forms))
    end = data.draw(st.sampled_from(["", "."]))

    assert fold(f"{first(local)}@{second(domain)}{end}") == fold(f"{name}@{domain}")


@given(NAMES, NAMES, DOMAINS)
def test_two_people_are_two(first: str, second: str, domain: str) -> None:
    assert (fold(f"{first}@{domain}") == fold(f"{second}@{domain}")) == (first == second)


@given(UNICODE, UNICODE)
def test_folding_twice_is_folding_once(local: str, domain: str) -> None:
    once = fold(f"{local}@{domain}")

    assert fold(once) == once


@given(st.text(max_size=40))
def test_any_text_is_folded_and_has_a_digest(text: str) -> None:
    assert len(digest(KEY, text)) == 32
    EVERYBODY.refusal(text)
    PRODUCTION.refusal(text)


def test_a_digest_holds_nothing_of_the_address_and_depends_on_the_key() -> None:
    made = digest(KEY, "ana@acme.example")

    assert b"ana" not in made
    assert made != digest(b"another", "ana@acme.example")


NOT_PUBLIC = [
    "a@localhost",
    "a@LOCALHOST",
    "a@localhost.",
    "a@ｌｏｃａｌｈｏｓｔ",
    "a@x.localhost",
    "a@localhost.localdomain",
    "a@intranet",
    "a@com",
    "a@127.0.0.1",
    "a@127.1",
    "a@127.0.0.1.",
    "a@2130706433",
    "a@0x7f.0x1",
    "a@mail.0x7f000001",
    "a@１２７．０．０．１",
    "a@[127.0.0.1]",
    "a@[IPv6:::1]",
    "a@::1",
    "a@printer.local",
    "a@x.LOCAL.",
    "a@vault.internal",
    "a@router.home.arpa",
    "a@1.0.0.127.in-addr.arpa",
    "a@x.invalid",
    "a@x.test",
    "a@x.onion",
    "a@x.alt",
    "a@x..example",
    "a@.example",
    "a@",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_names_a_machine_is_not_written_to_outside_development(address: str) -> None:
    assert PRODUCTION.refusal(address) == "recipient_not_public"
    assert EVERYBODY.refusal(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "ana@acme.example",
        "ana@example.com",
        "ana@local.example.org",
        "ana@localhost.example.org",
        "ana@test.de",
        "ana@127.example.org",
        "ana@1und1.de",
        "ana@bücher.example",
        "ana@xn--p1ai.xn--p1ai",
        "ana@mylocal.info",
        "ana@0x.org",
    ],
)
def test_a_domain_of_the_internet_is_written_to(address: str) -> None:
    assert is_one_mailbox(address)
    assert PRODUCTION.refusal(address) is None


@given(NAMES, st.sampled_from(["localhost", "local", "invalid", "internal", "test", "127.0.0.1"]))
def test_no_tag_case_or_final_dot_makes_it_public(name: str, host: str) -> None:
    for local, domain in itertools.product(
        (name, f"{name}+x", name.upper()), (host, host.upper(), f"{host}.", f"a.{host}")
    ):
        assert PRODUCTION.refusal(f"{local}@{domain}") == "recipient_not_public"


def test_only_allowed_domains_are_written_to_where_there_is_a_list() -> None:
    rules = Recipients(allowed=parse_domains("Acme.example, *.zeeburg.example,.bücher.example"))

    for address in (
        "a@acme.example",
        "A+1@ACME.EXAMPLE",
        "a@x.zeeburg.example",
        "a@y.x.zeeburg.example",
    ):
        assert rules.refusal(address) is None
    assert rules.refusal("a@post.xn--bcher-kva.example") is None
    for address in (
        "a@x.acme.example",
        "a@zeeburg.example",
        "a@notzeeburg.example",
        "a@acme.example.net",
        "a@xacme.example",
        "a@bücher.example",
    ):
        assert rules.refusal(address) == "recipient_not_allowed"


def test_an_allowed_domain_of_no_public_name_is_refused_all_the_same() -> None:
    rules = Recipients(only_public=True, allowed=parse_domains("localhost,acme.example"))

    assert rules.refusal("a@localhost") == "recipient_not_public"


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_empty_list_allows_everybody(text: str) -> None:
    assert parse_domains(text) == frozenset()
    assert Recipients(allowed=parse_domains(text)).refusal("a@anywhere.example") is None


@pytest.mark.parametrize(
    "text", ["ana@acme.example", "acme..example", ".", "*", "*acme.example", "a b", "a/b"]
)
def test_what_is_no_domain_is_no_entry_of_the_list(text: str) -> None:
    with pytest.raises(ValueError, match="is no domain"):
        parse_domains(text)


@given(DOMAINS)
def test_is_public_takes_folded_domains(domain: str) -> None:
    assert is_public(fold(f"a@{domain}").rpartition("@")[2])

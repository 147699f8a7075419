"""Whom a mail may go to, and which addresses are one mailbox. Pure.

Two questions about an address that `is_one_mailbox` has let through:

- **Which mailbox is it?** A budget per recipient (budget.py) is worth nothing if
  `Ana@acme.example`, `ana+1@acme.example` and `ana@ACME.example` are three recipients. So an
  address is folded: letter case and compatibility forms of the whole, what stands behind a `+` in
  the local part (RFC 5233 calls it the detail), the domain as the name system asks for it (UTS #46,
  RFC 5891), and the dots that Gmail passes over. Folded is for counting only: mails go to the
  address as it was given.
- **May it be written to?** Outside development, not what names a machine instead of a domain of the
  internet, and nothing beside the domains that an operator allows.

Refused outside development are address literals and whatever a resolver takes for one (a last
label that is a number), a single label, and all below

- `localhost` (RFC 6761 §6.3), `localdomain`: the mail server itself;
- `local` (RFC 6762 §3), `internal` (reserved by ICANN for private use), `home.arpa` (RFC 8375), all
  of `arpa`: machines of the network that the mail server stands in;
- `test` (RFC 6761 §6.2): private names of testers, which resolve inside their network, if anywhere;
- `invalid` (RFC 6761 §6.4), `onion` (RFC 7686 §2), `alt` (RFC 9476): never a mail server.

`example` and `example.com` are not among them: they resolve nowhere, so they hurt nobody, and
applications are to use them as they would other names (RFC 6761 §6.5).
"""

import hmac
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

import idna

Refusal = Literal["recipient_not_public", "recipient_not_allowed"]
LABEL: Final = b"rollcall/mail-budget/v1\x00"
NOT_PUBLIC: Final = frozenset(
    {"alt", "arpa", "internal", "invalid", "local", "localdomain", "localhost", "onion", "test"}
)
_DOTLESS: Final = frozenset({"gmail.com", "googlemail.com"})
"""One provider under two names, which takes `a.na@` and `ana@` for the same mailbox."""
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NO_DOMAIN: Final = re.compile(r"[\s@*/:]")


def fold(address: str) -> str:
    """The mailbox that an address means, as one text for all ways to write it.

    Folding twice is folding once. Any text is folded; what is no address becomes something.
    """
    given, _, host = address.rpartition("@")
    domain = fold_domain(host)
    local = _fold_text(given)
    local = local.partition("+")[0] or local
    if domain in _DOTLESS:
        local, domain = local.replace(".", "") or local, "gmail.com"
    return f"{local}@{domain}"


def fold_domain(domain: str) -> str:
    """A domain in A-labels and lower case, without the root's dot (RFC 5891 §4.4, UTS #46)."""
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False)
    except idna.IDNAError:
        mapped = _fold_text(domain)
    return ".".join(_a_label(label) for label in mapped.rstrip(".").split("."))


def digest(key: bytes, address: str) -> bytes:
    """The mailbox as 32 bytes by which nobody without the key finds the address, or checks one."""
    return hmac.digest(key, LABEL + fold(address).encode("utf-8", "surrogatepass"), "sha256")


@dataclass(frozen=True, slots=True)
class Recipients:
    """Which domains may be written to; the empty rules allow all of them.

    `allowed`: folded domains, of which one that begins with a dot means all below it.
    """

    only_public: bool = False
    allowed: frozenset[str] = frozenset()

    def refusal(self, address: str) -> Refusal | None:
        """Why this address is not written to; None: it may be."""
        domain = fold(address).rpartition("@")[2]
        if self.only_public and not is_public(domain):
            return "recipient_not_public"
        if self.allowed and not self._allows(domain):
            return "recipient_not_allowed"
        return None

    def _allows(self, domain: str) -> bool:
        if domain in self.allowed:
            return True
        labels = domain.split(".")
        return any("." + ".".join(labels[at:]) in self.allowed for at in range(1, len(labels)))


def is_public(domain: str) -> bool:
    """Whether a folded domain can be one of the internet, by its form and its last label alone."""
    labels = domain.split(".")
    if len(labels) < 2 or not all(labels) or any(character in domain for character in "[]:"):
        return False
    return labels[-1] not in NOT_PUBLIC and _NUMBER.fullmatch(labels[-1]) is None


def parse_domains(text: str) -> frozenset[str]:
    """The folded domains of a list with commas between. Raises ValueError.

    `acme.example` is that domain alone, `.acme.example` and `*.acme.example` all that are below it.
    """
    return frozenset(_parse_domain(each.strip()) for each in text.split(",") if each.strip())


def _parse_domain(entry: str) -> str:
    bare = entry.removeprefix("*") if entry.startswith("*.") else entry
    domain = fold_domain(bare.removeprefix("."))
    if not all(domain.split(".")) or _NO_DOMAIN.search(domain):
        raise ValueError(f"{entry!r} is no domain; write acme.example, or .acme.example for below")
    return "." + domain if bare.startswith(".") else domain


def _a_label(label: str) -> str:
    """As the name system asks for it, also where IDNA 2008 would not register it (an emoji)."""
    try:
        return idna.alabel(label).decode("ascii").lower()
    except idna.IDNAError:
        folded = _fold_text(label)
    if folded.isascii():
        return folded
    return "xn--" + folded.encode("punycode", "surrogatepass").decode("ascii")


def _fold_text(text: str) -> str:
    """Letter case and compatibility forms folded until nothing changes (as NFKC_Casefold does)."""
    while (folded := unicodedata.normalize("NFKC", text.casefold())) != text:
        text = folded
    return text

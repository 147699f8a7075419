"""Made-up people. Pure: the same organisation and number give the same person.

Addresses end in `.example`, which no mail server delivers to (RFC 2606 §3), and hold the end of
the organisation's id, so that every run of the demo has addresses of its own.
"""

from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
_GIVEN: Final = (
    "Amara", "Bram", "Chiara", "Daan", "Elif", "Femke", "Goran", "Hana", "Imran", "Joke",
    "Kofi", "Lotte", "Mina", "Noor", "Oskar", "Priya", "Quinten", "Rosa", "Sven", "Tariq",
)  # fmt: skip
_FAMILY: Final = (
    "Adeyemi", "Bakker", "Conti", "Dijkstra", "Eriksen", "Fischer", "Guerrero", "Haddad",
    "Ivanova", "Janssen", "Kaya", "Lindqvist", "Meijer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A person in an identity provider. `address` is also the user name."""

    number: int
    given: str
    family: str
    address: str

    def resource(self) -> Json:
        """The User that the identity provider creates (RFC 7643 §4.1)."""
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": self.address,
            "externalId": f"demo-{self.number}",
            "name": {"givenName": self.given, "familyName": self.family},
            "displayName": f"{self.given} {self.family}",
            "emails": [{"primary": True, "type": "work", "value": self.address}],
            "active": True,
        }


def people(organisation_id: str, first: int, count: int) -> list[Person]:
    """People number `first` and following of an organisation."""
    return [_person(organisation_id, number) for number in range(first, first + count)]


def domain_of(organisation_id: str) -> str:
    """The mail domain of an organisation's made-up people."""
    return f"{organisation_id[-12:]}.example"


def _person(organisation_id: str, number: int) -> Person:
    given = _GIVEN[number % len(_GIVEN)]
    family = _FAMILY[number % len(_FAMILY)]
    address = f"{given}.{family}.{number:05d}@{domain_of(organisation_id)}".lower()
    return Person(number, given, family, address)

"""Names that no schema knows are counted by organisation, within bounds, and are names only."""

import orjson

from rollcall_ingress.write.ignored_names import MOST_NAMES, NO_NAME, OTHERS, IgnoredNames
from rollcall_ingress.write.understand import understand_body
from tests.unit.ingress.tenants import a_command


def test_names_are_counted_by_organisation() -> None:
    names = IgnoredNames()

    names.note("o1", ("badge", "shoeSize"))
    names.note("o1", ("badge",))
    names.note("o2", ("badge",))

    assert names.counts() == {"o1": {"badge": 2, "shoeSize": 1}, "o2": {"badge": 1}}


def test_what_does_not_look_like_a_name_is_not_shown() -> None:
    names = IgnoredNames()

    names.note("o1", ("ana@x.example", "5", "a\nb", "x" * 200, ""))

    assert names.counts() == {"o1": {NO_NAME: 5}}


def test_the_names_of_an_organisation_have_a_bound() -> None:
    names = IgnoredNames()

    names.note("o1", (f"n{number}" for number in range(MOST_NAMES + 7)))

    counts = names.counts()["o1"]
    assert len(counts) == MOST_NAMES + 1
    assert counts[OTHERS] == 7


def test_a_request_says_which_names_were_ignored_and_no_values() -> None:
    body = {"userName": "ana", "badge": "secret", "name": {"nick": "A", "givenName": "Ana"}}

    understood = understand_body(a_command(), orjson.dumps(body))

    assert understood.ignored == ("badge", "name.nick")

"""The budget of work: what a PATCH may cost, and that its units say how long it takes."""

import copy
import operator
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcall.scim.body.json_body import Json, parse_object
from rollcall.scim.errors import InvalidValue, NoTarget, ScimError
from rollcall.scim.filter import And, Comparison, Filter, Not, Or, Present, read_filter
from rollcall.scim.limits import MAX_NAMES, MAX_OPERATIONS, MAX_RESOURCE_BYTES, MAX_TEXT, MAX_WORK
from rollcall.scim.match import chosen_elements
from rollcall.scim.patch.patch import PATCH_URN, apply_patch, parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import USER
from rollcall.scim.work import UNITS_PER_SECOND, Work, most_work
from tests.support.samples import strategies
from tests.unit.scim.patching import a_member, add, parsed, remove, replace

LENIENT = Profile.COMPATIBLE
SLOWEST = 12
"""Times the usual time of a unit: the machine may be busy, and what is small has its overheads."""
OVERHEAD_S = 0.004


def least_cpu_s(run: Callable[[], object], tries: int = 3) -> float:
    """The shortest of several runs: what else the machine does only ever adds."""
    times = []
    for _ in range(tries):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def outcome(resource: Json, operations: Any, work: Work) -> Json | tuple[str, str]:
    """The result, or which error."""
    try:
        return apply_patch(resource, operations, USER, LENIENT, work)
    except ScimError as error:
        return type(error).__name__, error.detail


# --- What may not be taken any more --------------------------------------------------------------


def many_conditions(sub: str, op: str, count: int) -> str:
    return " or ".join(f'{sub} {op} "{number}"' for number in range(count))


def large_addresses() -> tuple[Json, list[Json]]:
    """31 addresses of 4,096 letters that fold to two each, and 26 filters of 190 parts."""
    addresses = [{"streetAddress": "İ" * MAX_TEXT, "locality": str(n)} for n in range(31)]
    path = f"addresses[{many_conditions('streetAddress', 'co', 95)}].locality"
    return a_member(addresses=addresses), [remove(path)] * 26


def large_entitlements() -> tuple[Json, list[Json]]:
    """Added and removed in one PATCH, so that nothing of it is seen in the resource."""
    elements = [{"value": f"{n:03}" + "é" * 1200} for n in range(100)]
    path = f"entitlements[{many_conditions('value', 'eq', 75)}]"
    removes = [remove(path)] * 32
    return a_member(), [add("entitlements", elements), *removes, remove("entitlements")]


def searches() -> tuple[Json, list[Json]]:
    """Each text nearly holds what is looked for, at each of its characters."""
    elements = [{"value": f"{n}{'a' * 1280}"} for n in range(100)]
    terms = " or ".join(f'value co "{"a" * 48}b{"a" * n}"' for n in range(30))
    return a_member(entitlements=elements), [remove(f"entitlements[{terms}].display")] * 12


def writes_to_all() -> tuple[Json, list[Json]]:
    """No filter at all: each operation writes to each element."""
    elements = [{"locality": str(n), "region": "r" * 2000} for n in range(100)]
    operations = [replace("addresses.country", str(n)) for n in range(MAX_OPERATIONS)]
    return a_member(addresses=elements), operations


def measures() -> tuple[Json, list[Json]]:
    """Near the limit of its size, with each character two bytes: measured again and again."""
    addresses = [{"streetAddress": "\n" * 4000} for _ in range(32)]
    operations = [replace("title", f"{n}{'x' * 900}") for n in range(MAX_OPERATIONS)]
    return a_member(addresses=addresses), operations


@pytest.mark.parametrize("make", [large_addresses, large_entitlements, searches, writes_to_all])
def test_what_would_take_seconds_is_refused_in_words_and_changes_nothing(
    make: Callable[[], tuple[Json, list[Json]]],
) -> None:
    resource, operations = make()
    before = copy.deepcopy(resource)
    canonical = parsed(*operations).operations

    with pytest.raises(InvalidValue, match=f"more than {MAX_WORK} units of work.*; send it"):
        apply_patch(resource, canonical, USER, LENIENT)

    assert resource == before


@pytest.mark.parametrize(
    "make", [large_addresses, large_entitlements, searches, writes_to_all, measures]
)
def test_a_refusal_comes_after_no_more_than_its_budget(
    make: Callable[[], tuple[Json, list[Json]]],
) -> None:
    resource, operations = make()
    canonical = parsed(*operations).operations

    took_s = least_cpu_s(lambda: outcome(resource, canonical, Work(MAX_WORK)), tries=2)

    assert took_s < SLOWEST * MAX_WORK / UNITS_PER_SECOND


BODIES: dict[str, list[Json]] = {
    "names that are hard to prepare": [
        replace("userName", f"{'İ' * 317}{number:03}") for number in range(MAX_OPERATIONS)
    ],
    "lists of elements without value": [
        replace("addresses", [{"locality": f"{element}{number}"} for element in range(100)])
        for number in range(MAX_OPERATIONS)
    ],
    "names that are no names": [add(None, {f"é{number}": 1 for number in range(MAX_NAMES)})],
    "JSON in texts": [
        replace("roles", [{"value": f'{{"value":"a","b":"{"x" * 600}"}}'}] * 100) for _ in range(20)
    ],
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_takes_long_to_read_is_refused(what: str) -> None:
    with pytest.raises(InvalidValue, match=f"more than {MAX_WORK} units of work"):
        parsed(*BODIES[what])


def test_a_body_full_of_unknown_names_is_refused() -> None:
    body = {"userName": "ana", **{f"x{number}": 1 for number in range(100_000)}}

    with pytest.raises(InvalidValue, match=f"more than {MAX_WORK} units of work"):
        canonicalise(body, USER, LENIENT)


@pytest.mark.parametrize("where", ["name", "element", "operation", "boolean", "op"])
def test_a_text_of_megabytes_where_a_name_belongs_is_not_folded(where: str) -> None:
    """Taking the letter case off four million letters holds the interpreter for long."""
    long = "İ" * (4 * 1024 * 1024)
    operation: Json = {
        "name": add(None, {long: "x"}),
        "element": add("emails", [{"value": "a@b.example", long: "x"}]),
        "operation": {**replace("title", "x"), long: "x"},
        "boolean": replace("active", long),
        "op": {"op": long, "path": "title", "value": "x"},
    }[where]

    def read() -> None:
        with pytest.raises(ScimError):
            parse_patch(
                {"schemas": [PATCH_URN], "Operations": [operation, replace("active", "no")]},
                USER,
                LENIENT,
            )

    assert least_cpu_s(read) < least_cpu_s(lambda: long.lower()) / 2


# --- What must go on being taken -----------------------------------------------------------------


def a_hundred_emails() -> list[Json]:
    types = ("work", "home", "other")
    return [{"value": f"user{n}@mail.example.org", "type": types[n % 3]} for n in range(100)]


def one_filter_each() -> list[Json]:
    return [
        replace(f'emails[value eq "user{n}@mail.example.org"].display', f"Address {n}")
        for n in range(100)
    ]


@pytest.mark.parametrize(
    "operations",
    [
        [replace("title", str(n)) for n in range(MAX_OPERATIONS)],
        one_filter_each(),
        [remove("emails", value=a_hundred_emails())],
        [replace('emails[type eq "work" and value ew ".org"].display', "x")] * 50,
    ],
    ids=["plain", "filtered", "by value", "all that match"],
)
def test_what_identity_providers_send_at_most_is_far_from_the_limit(
    operations: list[Json],
) -> None:
    work = Work(MAX_WORK)

    apply_patch(
        a_member(emails=a_hundred_emails()), parsed(*operations).operations, USER, LENIENT, work
    )

    assert work.units < MAX_WORK / 3


# --- The size ------------------------------------------------------------------------------------


def too_large_in_between() -> list[Json]:
    certificates = [{"value": f"{n:04}" * 4000} for n in range(20)]
    return [add("x509Certificates", certificates), remove("x509Certificates")]


def test_the_size_is_bounded_after_each_operation() -> None:
    operations = parsed(*too_large_in_between()).operations

    with pytest.raises(InvalidValue, match=str(MAX_RESOURCE_BYTES)):
        apply_patch(a_member(), operations, USER, LENIENT)


def test_by_the_rules_of_old_only_the_size_at_the_end_counts() -> None:
    operations = parsed(*too_large_in_between()).operations

    assert apply_patch(a_member(), operations, USER, LENIENT, Work()) == a_member()


sized = st.one_of(
    st.builds(
        lambda count, size, mark: add(
            "addresses", [{"streetAddress": f"{mark}{n}" * size} for n in range(count)]
        ),
        st.integers(1, 40),
        st.integers(1, 1300),
        st.sampled_from(["\n", "é", "x", '"']),
    ),
    st.builds(
        lambda size, mark: replace("addresses.formatted", mark * size),
        st.integers(1, 4000),
        st.sampled_from(["\n", "é", "x"]),
    ),
    st.builds(
        lambda size: replace(f'addresses[type eq "{"t" * size}"].locality', "x" * size),
        st.integers(1, 3000),
    ),
    st.just(remove("addresses.streetAddress")),
    st.just(remove("addresses.formatted")),
)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(operations=st.lists(sized, min_size=1, max_size=6))
def test_the_size_watched_is_the_size_after_each_operation(operations: list[Json]) -> None:
    canonical = parsed(*operations).operations
    resource = a_member()
    expected: Json | None = resource
    for operation in canonical:
        found = outcome(resource, [operation], Work())
        if not isinstance(found, dict) or len(orjson.dumps(found)) > MAX_RESOURCE_BYTES:
            expected = None
            break
        resource = expected = found

    result = outcome(a_member(), canonical, Work(100 * MAX_WORK))

    assert (result if isinstance(result, dict) else None) == expected


# --- Units ---------------------------------------------------------------------------------------

LETTERS = st.sampled_from(["a", "é", "İ", "ß", "𐐀", "\n", "7"])
texts = st.builds(lambda letter, size: letter * size, LETTERS, st.integers(1, 900))
subs = st.sampled_from(["value", "type", "display"])
ops = st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "le"])
conditions = st.one_of(
    st.builds(
        lambda sub, op, text: f"{sub} {op} {orjson.dumps(text[:150]).decode()}", subs, ops, texts
    ),
    st.builds(lambda sub: f"{sub} pr", subs),
    st.builds(lambda sub: f"not ({sub} eq null)", subs),
    st.just("primary eq true"),
)
filters = st.lists(conditions, min_size=1, max_size=40).flatmap(
    lambda terms: st.sampled_from([f" {word} ".join(terms) for word in ("and", "or")])
)
entitlements = st.lists(
    st.fixed_dictionaries(
        {}, optional={"value": texts, "type": texts, "display": texts, "primary": st.booleans()}
    ),
    max_size=30,
)
costly = st.one_of(
    st.builds(lambda each: remove(f"entitlements[{each}].display"), filters),
    st.builds(lambda each, text: replace(f"entitlements[{each}].type", text), filters, texts),
    st.builds(lambda each: remove(f"entitlements[{each}]"), filters),
    st.builds(lambda each: add("entitlements", each), entitlements),
    st.builds(lambda text: replace("entitlements.display", text), texts),
    st.builds(lambda text: replace("title", text.replace("\n", " x")), texts),
)


def costly_patches() -> st.SearchStrategy[tuple[Json, tuple[Json, ...]]]:
    """A resource and canonical operations that go with it."""

    def build(elements: list[Json], wanted: list[Json], times: int) -> tuple[Json, Any]:
        try:
            body = {"userName": "ana", "entitlements": elements}
            resource = canonicalise(body, USER, LENIENT).resource
            return resource, parsed(*(wanted * times)).operations
        except ScimError:
            return a_member(), parsed(replace("title", "x")).operations

    return st.builds(
        build, entitlements, st.lists(costly, min_size=1, max_size=5), st.integers(1, 30)
    )


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=costly_patches())
def test_no_patch_takes_longer_than_its_units_say(drawn: tuple[Json, Any]) -> None:
    resource, operations = drawn
    work = Work(MAX_WORK)
    outcome(resource, operations, work)

    took_s = least_cpu_s(lambda: outcome(resource, operations, Work(MAX_WORK)))

    assert took_s < OVERHEAD_S + SLOWEST * work.units / UNITS_PER_SECOND


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=costly_patches())
def test_units_are_the_same_for_equal_input_and_never_above_the_estimate(
    drawn: tuple[Json, Any],
) -> None:
    resource, operations = drawn
    first, second = Work(), Work()
    watched = Work(1000 * MAX_WORK)

    one = outcome(resource, operations, first)
    other = outcome(copy.deepcopy(resource), copy.deepcopy(operations), second)
    outcome(resource, operations, watched)

    assert (first.units, one) == (second.units, other)
    assert watched.units <= most_work(operations, len(orjson.dumps(resource)))


@given(user=strategies.users(), body=strategies.patches)
def test_most_work_bounds_the_patches_of_every_day(
    user: dict[str, Any], body: dict[str, Any]
) -> None:
    try:
        operations = parse_patch(body, USER, LENIENT).operations
    except ScimError:
        return
    resource = canonicalise(user, USER, LENIENT).resource
    work = Work(MAX_WORK)
    outcome(resource, operations, work)

    assert work.units <= most_work(operations, len(orjson.dumps(resource)))


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=costly_patches())
def test_within_the_budget_the_rules_of_old_give_the_same(drawn: tuple[Json, Any]) -> None:
    resource, operations = drawn

    bounded = outcome(resource, operations, Work(MAX_WORK))

    if isinstance(bounded, dict):
        assert outcome(resource, operations, Work()) == bounded


# --- A filter asked of all elements is the filter asked of each ----------------------------------


def meets(node: Filter, element: Json) -> bool:
    """RFC 7644 §3.4.2.2 for one element, as plainly as it can be said."""
    match node:
        case And(terms):
            return all(meets(term, element) for term in terms)
        case Or(terms):
            return any(meets(term, element) for term in terms)
        case Not(term):
            return not meets(term, element)
        case Present(path):
            return element.get(path.target.name) not in (None, "")
        case Comparison(path, op, wanted):
            value = element.get(path.target.name)
            if wanted is None:
                return (value is None) == (op == "eq")
            if value is None:
                return op == "ne"
            left: Any
            right: Any
            left, right = (
                each.casefold() if isinstance(each, str) and not path.target.case_exact else each
                for each in (value, wanted)
            )
            compare: dict[str, Callable[[Any, Any], bool]] = {
                "eq": operator.eq,
                "ne": operator.ne,
                "co": operator.contains,
                "sw": str.startswith,
                "ew": str.endswith,
                "gt": operator.gt,
                "le": operator.le,
            }
            return compare[op](left, right)
    raise AssertionError(node)


@given(text=filters, elements=entitlements)
def test_a_filter_chooses_the_elements_that_meet_it(text: str, elements: list[Json]) -> None:
    try:
        node = read_filter(text, USER, LENIENT, USER.attributes["entitlements"]).filter
    except ScimError:
        return

    chosen = chosen_elements(node, elements, Work())

    assert chosen == [meets(node, element) for element in elements]


def test_each_text_is_folded_once_for_all_conditions() -> None:
    text = "İ" * MAX_TEXT
    one, many = (
        read_filter(
            many_conditions("value", "eq", count), USER, LENIENT, USER.attributes["entitlements"]
        ).filter
        for count in (1, 90)
    )
    few, lots = Work(), Work()

    chosen_elements(one, [{"value": text}], few)
    chosen_elements(many, [{"value": text}], lots)

    assert lots.units < 5 * few.units


def test_reading_the_body_of_a_refused_patch_is_within_its_budget() -> None:
    for operations in BODIES.values():
        body = orjson.dumps({"schemas": [PATCH_URN], "Operations": operations})
        parsed_body = parse_object(body)

        def read(given_: Json = parsed_body) -> None:
            with pytest.raises(InvalidValue):
                parse_patch(given_, USER, LENIENT)

        assert least_cpu_s(read, tries=2) < SLOWEST * MAX_WORK / UNITS_PER_SECOND


def test_an_operation_that_selects_nothing_is_still_that_error() -> None:
    strict = Profile.INTEROP
    operations = parsed(replace('emails[type eq "x"].value', "a@b.example"), profile=strict)

    with pytest.raises(NoTarget):
        apply_patch(a_member(), operations.operations, USER, strict)

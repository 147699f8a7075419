"""The model finds what is wrong: a small run that is right, and each way in which it is made wrong.

A model that finds nothing proves nothing. So the run is first held to be without fault, and then
has one fault put into what the deployment holds, or into what was answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.chaos.case import Case, make_case, tell
from tests.chaos.found import Audited, Disturbance, Logged, Mail, Observed
from tests.chaos.history import NO_ANSWER, Attempt, Effect, Endpoint, Seen, State, seen_in
from tests.chaos.judge import judge
from tests.chaos.operations import is_outage
from tests.chaos.plan import OPERATING, make_plan

ORGANISATION = "org"
ADDRESS = "ana@chaos.example"
Mutation = Callable[["Run"], None]


def person(name: str, **changed: object) -> dict[str, object]:
    return {
        "userName": f"{name}@chaos.example",
        "externalId": name,
        "displayName": name,
        "title": "new",
        "active": True,
        "email": f"{name}@chaos.example",
        **changed,
    }


def state(attributes: dict[str, object], members: frozenset[str] = frozenset()) -> State:
    return State(tuple(sorted(attributes.items())), members)


@dataclass(slots=True)
class Run:
    """A run by hand: one request a second, each decided at once."""

    history: list[Attempt] = field(default_factory=list)
    found: Observed = field(default_factory=Observed)
    announced: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        effect: Effect | None,
        resource_id: str | None,
        status: int,
        *,
        decided: int | None = None,
        seen: tuple[Seen, ...] = (),
        endpoint: Endpoint = "Users",
        looked_up: str | None = None,
        is_pending: bool = False,
    ) -> str:
        """One request; it is on the log where `decided` says what became of it. Its id."""
        number = len(self.history)
        token, request_id, at_s = f"token{number}", f"request{number}", float(number)
        self.history.append(
            Attempt(
                token,
                ORGANISATION,
                "entra",
                number,
                "step",
                effect.endpoint if effect else endpoint,
                resource_id,
                effect,
                at_s,
                at_s + 0.5,
                status,
                is_pending,
                has_retry_after=status == 503,
                looked_up=looked_up,
                seen=seen,
            )
        )
        if decided is not None and effect is not None and resource_id is not None:
            self.found.log.append(
                Logged(
                    0,
                    len(self.found.log),
                    number * 1000 + 100,
                    number * 1000 + 10_000,
                    request_id,
                    ORGANISATION,
                    effect.endpoint,
                    resource_id,
                    token,
                )
            )
            offset = self.found.log[-1].offset
            row = Audited(request_id, ORGANISATION, 0, offset, resource_id, decided, at_s + 0.2, 1)
            self.found.audit.append(row)
            self.announced[request_id, 0] = [f"outcome{number}"]
        return request_id

    def case(self) -> Case:
        """The run, ready to be judged."""
        self.found.announced = self.announced
        self.found.refused = self.refused
        return make_case(self.history, self.found)

    def wrong(self) -> set[str]:
        """What the model says."""
        case = self.case()
        violations = judge(case)
        for each in violations:
            assert each.what in tell(each, case)
        return {each.what for each in violations}


@pytest.fixture
def run() -> Run:
    """Ana is invited, changed, put in a group; Ben is refused, Cleo removed, Dora revoked."""
    run = Run()
    ana = person("ana")
    made = run.ask(Effect("create", "Users", ana), "ana", 201, decided=201)
    run.ask(Effect("patch", "Users", {"title": "one"}), "ana", 200, decided=200)
    titled = run.ask(Effect("patch", "Users", {"title": "two"}), "ana", 200, decided=200)
    seen = Seen("Users", "ana", titled, state(ana | {"title": "two"}))
    run.ask(None, "ana", 200, seen=(seen,))
    run.ask(Effect("create", "Users", ana | {"externalId": "b"}), "ben", 409, decided=409)
    run.ask(
        Effect("create", "Groups", {"displayName": "Crew"}, members=frozenset({"ana"})),
        "crew",
        201,
        decided=201,
    )
    run.ask(Effect("create", "Users", person("cleo")), "cleo", 201, decided=201)
    run.ask(Effect("delete", "Users"), "cleo", 204, decided=204)
    dora = run.ask(Effect("create", "Users", person("dora")), "dora", 201, decided=201)
    run.ask(None, None, 200, seen=(seen,), looked_up=ADDRESS)
    for _ in range(10):  # the grace of an invitation
        run.ask(None, "ana", 200, seen=(seen,))
    revoked = run.ask(Effect("patch", "Users", {"active": False}), "dora", 200, decided=200)
    run.ask(
        Effect("patch", "Users", {"title": "three"}), "ghost", 204, decided=404, is_pending=True
    )
    run.refused["request21"] = "yes"
    run.ask(Effect("create", "Users", person("eve")), "eve", NO_ANSWER, decided=201)
    run.ask(Effect("create", "Users", person("fay")), None, 503)
    run.found.mails = [
        Mail(made, "invitation", ADDRESS, 5.0),
        Mail(dora, "invitation", "dora@chaos.example", 12.0),
        Mail(revoked, "revocation", "dora@chaos.example", 21.0),
        Mail("request22", "invitation", "eve@chaos.example", 25.0),
    ]
    case = run.case()
    run.found.persons, run.found.groups = dict(case.persons), dict(case.groups)
    assert set(case.persons) == {(ORGANISATION, name) for name in ("ana", "dora", "eve")}
    assert case.persons[ORGANISATION, "ana"].state == seen.state
    assert case.groups[ORGANISATION, "crew"].state.members == {"ana"}
    return run


def test_a_run_in_which_all_was_kept_has_no_violation(run: Run) -> None:
    assert run.wrong() == set()


def drop_a_member(run: Run) -> None:
    del run.found.persons[ORGANISATION, "ana"]


def keep_the_removed(run: Run) -> None:
    run.found.persons[ORGANISATION, "cleo"] = run.found.persons[ORGANISATION, "ana"]


def lose_a_change(run: Run) -> None:
    before = run.found.persons[ORGANISATION, "ana"]
    run.found.persons[ORGANISATION, "ana"] = replace(before, state=state(person("ana")))


def lose_a_membership(run: Run) -> None:
    before = run.found.groups[ORGANISATION, "crew"]
    run.found.groups[ORGANISATION, "crew"] = replace(
        before, state=replace(before.state, members=frozenset())
    )


def lose_from_the_log(run: Run) -> None:
    del run.found.log[1], run.found.audit[1], run.announced["request1", 0]


def swap_on_the_log(run: Run) -> None:
    one, two = run.found.log[1], run.found.log[2]
    run.found.log[1:3] = [replace(two, offset=1), replace(one, offset=2)]


def append_too_late(run: Run) -> None:
    run.found.log[1] = replace(run.found.log[1], append_ms=20_000)


def log_under_two_ids(run: Run) -> None:
    run.found.log.append(replace(run.found.log[1], offset=99, id="again", append_ms=10**9))


def answer_another_id(run: Run) -> None:
    run.found.log[0] = replace(run.found.log[0], resource_id="anna")


def apply_what_was_refused_with_503(run: Run) -> None:
    run.history[0] = replace(run.history[0], status=503, has_retry_after=True)


def forget_retry_after(run: Run) -> None:
    run.history[23] = replace(run.history[23], has_retry_after=False)


def answer_500(run: Run) -> None:
    run.history[23] = replace(run.history[23], status=500)


def skip_in_the_audit(run: Run) -> None:
    del run.found.audit[1], run.announced["request1", 0]


def decide_otherwise(run: Run) -> None:
    run.found.audit[3] = replace(run.found.audit[3], status=201)


def refuse_a_decided_yes(run: Run) -> None:
    run.found.audit[1] = replace(run.found.audit[1], status=409)


def refuse_a_pending_one_in_silence(run: Run) -> None:
    run.refused.clear()


def list_what_was_not_refused(run: Run) -> None:
    run.refused["request1"] = "perhaps"


def list_what_was_answered_no(run: Run) -> None:
    run.refused["request4"] = "yes"


def refuse_without_a_rival(run: Run) -> None:
    run.history[23] = replace(run.history[23], status=409)


def show_a_version_otherwise(run: Run) -> None:
    [seen] = run.history[3].seen
    run.history[3] = replace(run.history[3], seen=(replace(seen, state=state(person("ana"))),))


def read_an_old_version(run: Run) -> None:
    [seen] = run.history[3].seen
    old = replace(seen, version="request1", state=state(person("ana", title="one")))
    run.history[3] = replace(run.history[3], seen=(old,))


def find_no_member(run: Run) -> None:
    run.history[9] = replace(run.history[9], seen=())


def read_404(run: Run) -> None:
    run.history[3] = replace(run.history[3], seen=(), status=404)


def keep_an_outcome_back(run: Run) -> None:
    del run.announced["request2", 0]


def announce_under_two_ids(run: Run) -> None:
    run.announced["request2", 0].append("another")


def double_a_mail(run: Run) -> None:
    run.found.mails.append(replace(run.found.mails[0], at_s=6.0))


def lose_a_mail(run: Run) -> None:
    del run.found.mails[0]


def keep_a_revocation_back(run: Run) -> None:
    del run.found.mails[2]


def write_to_the_removed(run: Run) -> None:
    run.found.mails.append(Mail("request6", "invitation", "cleo@chaos.example", 13.0))


def write_to_another_address(run: Run) -> None:
    run.found.mails[0] = replace(run.found.mails[0], recipient="ben@chaos.example")


def bury(run: Run) -> None:
    run.found.dead = 1


def halt(run: Run) -> None:
    run.found.halted = ["requests/0: gap"]


@pytest.mark.parametrize(
    ("mutation", "what"),
    [
        (drop_a_member, "a member is lost"),
        (keep_the_removed, "a member that nobody was told of"),
        (lose_a_change, "a member is not as answered"),
        (lose_a_membership, "a group is not as answered"),
        (lose_from_the_log, "answered yes and lost"),
        (swap_on_the_log, "out of order"),
        (append_too_late, "applied, and not on the log in time"),
        (log_under_two_ids, "one attempt, two requests"),
        (answer_another_id, "another id than was answered"),
        (apply_what_was_refused_with_503, "refused with 503, and applied"),
        (forget_retry_after, "503 without Retry-After"),
        (answer_500, "an answer that nobody is promised"),
        (skip_in_the_audit, "not applied"),
        (decide_otherwise, "a refusal that left a trace"),
        (decide_otherwise, "decided otherwise"),
        (refuse_a_decided_yes, "a decided yes that was refused"),
        (refuse_a_pending_one_in_silence, "answered yes, refused, and not listed"),
        (list_what_was_not_refused, "listed, and not refused"),
        (list_what_was_answered_no, "listed as answered yes, and answered no"),
        (refuse_without_a_rival, "409 without a rival"),
        (show_a_version_otherwise, "one version, two states"),
        (read_an_old_version, "a read older than an answer"),
        (find_no_member, "not found though created (decided)"),
        (read_404, "gone, though nobody removed it (decided)"),
        (keep_an_outcome_back, "not announced"),
        (announce_under_two_ids, "announced under two ids"),
        (double_a_mail, "a mail came twice"),
        (lose_a_mail, "no invitation"),
        (keep_a_revocation_back, "not told that it is revoked"),
        (write_to_the_removed, "a mail that was not due"),
        (write_to_another_address, "a mail that was not due"),
        (bury, "dead letters"),
        (halt, "a partition is halted"),
    ],
)
def test_each_promise_that_is_broken_is_found(run: Run, mutation: Mutation, what: str) -> None:
    mutation(run)

    assert what in run.wrong()


def test_a_503_that_leaves_the_outcome_open_may_have_been_applied(run: Run) -> None:
    """The one thing that is left open, and only where the answer says so."""
    run.history[22] = replace(run.history[22], status=503, has_retry_after=True, is_unknown=True)

    assert run.wrong() == set()


def test_a_copy_of_a_mail_is_excused_by_what_was_disturbed_then_and_by_nothing_later(
    run: Run,
) -> None:
    double_a_mail(run)
    run.found.disturbances = [Disturbance("notifier-0", "kill", 5.2, 6.0)]
    assert run.wrong() == set()

    run.found.disturbances = [Disturbance("notifier-0", "kill", 15.0, 16.0)]
    assert run.wrong() == {"a mail came twice"}

    run.found.disturbances = [Disturbance("ingress-0", "kill", 5.2, 6.0)]
    assert run.wrong() == {"a mail came twice"}


def test_a_representation_without_a_version_is_found_and_matches_no_state(run: Run) -> None:
    body = {"id": "ana", **person("ana"), "title": "of nobody", "meta": {"resourceType": "User"}}
    [seen] = seen_in("Users", {"Resources": [body]})
    run.ask(None, None, 200, seen=(seen,), looked_up=ADDRESS)
    run.ask(None, "ana", 200, seen=(seen,))

    assert (seen.resource_id, seen.version) == ("ana", None)
    assert run.wrong() == set()


@pytest.mark.parametrize(
    ("status", "output", "error", "retried"),
    [
        (3, "", "rollcall: Kafka (KafkaError) is unavailable, try again in 5 s\n", True),
        (3, "", "rollcall: the partitions moved meanwhile; run it again\n", True),
        (1, '{"drifts": [1]}', "", False),
        (1, "", "Traceback (most recent call last)\nOSError: Postgres\n", False),
        (2, "", "rollcall: Postgres is unavailable, try again in 5 s\n", True),
        (2, "", "rollcall: the log of partition 0 begins at offset 7; name a snapshot\n", False),
    ],
)
def test_only_an_outage_lets_an_operator_try_again(
    status: int, output: str, error: str, retried: bool
) -> None:
    assert is_outage(status, output, error) is retried


def test_the_plan_is_the_seed_s() -> None:
    one = make_plan(7, 60.0)

    assert make_plan(7, 60.0) == one
    assert make_plan(8, 60.0) != one
    assert {fault.target for seed in range(5) for fault in make_plan(seed, 60.0).faults} == {
        *("ingress-0", "ingress-1", "provisioner-0", "provisioner-1", "notifier-0"),
        *("kafka", "postgres", "smtp", "operator"),
    }
    assert {each.trouble for each in one.faults if each.target == "operator"} == {*OPERATING}
    assert all(fault.at_s + fault.for_s <= 60.0 for fault in one.faults)
    assert all(len(provider.actions) > 50 for provider in one.providers)

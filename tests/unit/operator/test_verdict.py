"""The demo's expectations can fail: each against data that breaks it."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rollcall_local.demo import verdict
from rollcall_local.demo.client import Tally
from rollcall_local.demo.maildir import Maildir
from rollcall_local.demo.observe import Member, Notice
from rollcall_local.demo.people import people
from rollcall_local.demo.verdict import Check, Crew, Phase

ORGANISATION = "0198c0de-0000-7000-8000-0123456789ab"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def a_crew() -> Crew:
    joiners = people(ORGANISATION, 1, 3)
    return Crew(joiners, joiners[:1])


def its_members(crew: Crew) -> list[Member]:
    leavers = set(crew.leavers)
    return [
        Member(person.address, "revoked" if person in leavers else "invited")
        for person in crew.joiners
    ]


def its_mails(crew: Crew, folder: Path) -> tuple[list[Notice], Maildir]:
    sent = [("invitation", person) for person in crew.joiners]
    sent += [("revocation", person) for person in crew.leavers]
    maildir = Maildir(folder)
    notices = []
    for kind, person in sent:
        message_id = f"{kind}.{person.number}@rollcall.example"
        notices.append(Notice(ORGANISATION, kind, "sent", f"<{message_id}>", NOON))
        maildir.deliveries[message_id, person.address] = 1
    return notices, maildir


def held(checks: list[Check]) -> list[bool]:
    return [check.has_held for check in checks]


def test_people_are_the_same_for_the_same_organisation_and_differ_elsewhere() -> None:
    first, again = people(ORGANISATION, 1, 5), people(ORGANISATION, 1, 5)
    elsewhere = people(ORGANISATION.replace("ab", "cd"), 1, 5)

    assert first == again
    assert len({person.address for person in (*first, *elsewhere)}) == 10


def test_a_directory_as_expected_holds() -> None:
    crew = a_crew()

    assert held(verdict.check_directory(crew, its_members(crew))) == [True, True]


def test_a_missing_a_strange_and_a_repeated_member_are_noticed() -> None:
    crew = a_crew()
    members = its_members(crew)

    assert held(verdict.check_directory(crew, members[:2])) == [False, True]
    assert held(verdict.check_directory(crew, [*members, Member("eve@x", "invited")]))[0] is False
    assert held(verdict.check_directory(crew, [*members, members[1]]))[0] is False


def test_another_revoked_member_is_noticed() -> None:
    crew = a_crew()
    members = [Member(person.address, "revoked") for person in crew.joiners]

    assert held(verdict.check_directory(crew, members)) == [True, False]


def test_mails_as_expected_hold(tmp_path: Path) -> None:
    crew = a_crew()
    notices, maildir = its_mails(crew, tmp_path)

    checks = verdict.check_mails(crew, ORGANISATION, notices, maildir)

    assert held(checks) == [True] * 4


def test_a_mail_that_arrived_twice_or_not_at_all_is_noticed(tmp_path: Path) -> None:
    crew = a_crew()
    notices, maildir = its_mails(crew, tmp_path)
    keys = list(maildir.deliveries)
    maildir.deliveries[keys[0]] = 2
    del maildir.deliveries[keys[-1]]

    checks = verdict.check_mails(crew, ORGANISATION, notices, maildir)

    assert held(checks) == [True, False, False, False]
    assert "1 missing, 0 too many" in str(checks[3])


def test_a_mail_that_is_due_still_is_noticed(tmp_path: Path) -> None:
    crew = a_crew()
    notices, maildir = its_mails(crew, tmp_path)
    notices.append(Notice(ORGANISATION, "restoration", "due", None, NOON))

    assert held(verdict.check_mails(crew, ORGANISATION, notices, maildir))[0] is False


def test_failed_requests_are_named_by_phase() -> None:
    tally = Tally(sent=2, answered=2)
    tally.fail("POST: 500 no")

    (check,) = verdict.check_phases([Phase("joiners", tally)])

    assert str(check) == "NOT  joiners: none of 2 requests failed: 1 failed; POST: 500 no"


def test_the_table_sums_up_all_phases() -> None:
    first = Tally(sent=3, answered=2, pending=1, failed=1, seconds=[0.001, 0.003])
    second = Tally(sent=1, answered=1, seconds=[0.1])

    rows = verdict.phase_rows([Phase("a", first), Phase("b", second)])

    assert rows[-1] == ["all", "4", "3", "1", "1", "3 ms", "100 ms"]


@pytest.mark.parametrize(("percent", "wanted"), [(50, 50.0), (99, 99.0), (100, 100.0), (0, 1.0)])
def test_percentiles_are_answers_that_were_given(percent: float, wanted: float) -> None:
    tally = Tally(seconds=[number / 1000 for number in range(100, 0, -1)])

    assert tally.percentile_ms(percent) == pytest.approx(wanted)
    assert Tally().percentile_ms(percent) is None


def test_the_mailbox_reads_each_new_file_once(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "1").write_text("X-RcptTo: old@x.example\nMessage-ID: <old@y>\n\nbody\n")
    maildir = Maildir(tmp_path)
    maildir.skip_present()

    (new / "2").write_text("X-RcptTo: Ana@x.example\nMessage-ID: <m@y>\n\nbody\n")
    maildir.scan()
    maildir.scan()

    assert maildir.deliveries == Counter({("m@y", "ana@x.example"): 1})
    assert maildir.copies()["m@y"] == 1

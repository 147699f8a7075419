"""A rate per organisation that holds up nobody else."""

from services.notifier.pace import Pacer


def test_a_burst_of_one_second_leaves_at_once_and_the_rest_gets_slots() -> None:
    pacer = Pacer(rate=10)

    waits = [pacer.wait_s("a", (str(number), "invitation"), 100.0) for number in range(14)]

    assert waits[:11] == [0.0] * 11
    assert [round(wait, 6) for wait in waits[11:]] == [0.1, 0.2, 0.3]


def test_a_mail_that_waited_for_its_slot_leaves_without_another() -> None:
    pacer = Pacer(rate=1)
    for number in range(2):
        pacer.wait_s("a", (str(number), "invitation"), 100.0)

    wait_s = pacer.wait_s("a", ("late", "invitation"), 100.0)

    assert wait_s == 1.0
    assert pacer.wait_s("a", ("late", "invitation"), 100.0 + wait_s) == 0.0


def test_another_organisation_does_not_wait() -> None:
    pacer = Pacer(rate=1)
    for number in range(50):
        pacer.wait_s("a", (str(number), "invitation"), 100.0)

    assert pacer.wait_s("b", ("x", "invitation"), 100.0) == 0.0

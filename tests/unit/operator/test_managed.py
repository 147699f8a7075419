"""What nobody here can change on a managed Kafka is a note; the rest stays wrong."""

import pytest

from rollcall.control.doctor import _of_topics
from rollcall.control.settings import OperatorSettings
from rollcall.kafka.admin import slow_to_notice
from rollcall_operator.commands.topics import divided

[SLOW] = slow_to_notice({3: 9000})
TOPIC = "rollcall.requests: retention.bytes is 5, wanted -1"


@pytest.mark.parametrize(
    ("is_managed", "wrong", "notes"), [(True, [TOPIC], [SLOW]), (False, [TOPIC, SLOW], [])]
)
def test_a_setting_of_a_broker_is_a_note_where_brokers_are_managed(
    is_managed: bool, wrong: list[str], notes: list[str]
) -> None:
    found = divided([TOPIC, SLOW], is_managed=is_managed)

    assert [line.partition("; where the brokers")[0] for line in found[0]] == wrong
    assert found[1] == notes


def test_where_it_can_be_changed_it_is_wrong_and_says_how_to_say_otherwise() -> None:
    [line] = divided([SLOW], is_managed=False)[0]

    assert line.endswith("set ROLLCALL_KAFKA_MANAGED=true")


@pytest.mark.parametrize(("is_managed", "state"), [(True, "note"), (False, "wrong")])
def test_the_doctor_says_the_same(is_managed: bool, state: str) -> None:
    settings = OperatorSettings(kafka_bootstrap="127.0.0.1:1", kafka_managed=is_managed)

    assert _of_topics(settings, SLOW, "mend").state == state
    assert _of_topics(settings, TOPIC, "mend").state == "wrong"

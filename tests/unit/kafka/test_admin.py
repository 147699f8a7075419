"""What counts as a difference of a topic."""

from dataclasses import replace

from rollcall.events.topics import Topics
from rollcall.kafka.admin import TopicState, differences, required, slow_to_notice

REQUESTS = required(Topics("t").all()[1], 3)
AS_WANTED = TopicState(24, 3, {**REQUESTS.config, "segment.bytes": "1"}, {})


def test_a_topic_as_wanted_has_no_differences() -> None:
    assert differences(REQUESTS, AS_WANTED, 3) == []


def test_a_missing_topic_is_named() -> None:
    assert differences(REQUESTS, None, 3) == ["t.requests: is missing"]


def test_every_setting_that_differs_is_named_with_both_values() -> None:
    config = {**AS_WANTED.config, "message.timestamp.type": "CreateTime"}

    lines = differences(REQUESTS, replace(AS_WANTED, config=config), 3)

    assert lines == ["t.requests: message.timestamp.type is CreateTime, wanted LogAppendTime"]


def test_too_few_partitions_and_replicas_are_named() -> None:
    lines = differences(REQUESTS, replace(AS_WANTED, partitions=4, replication=1), 3)

    assert lines == [
        "t.requests: 4 partitions, wanted 24",
        "t.requests: replication 1, wanted 3",
    ]


def test_more_partitions_than_wanted_are_well() -> None:
    assert differences(REQUESTS, replace(AS_WANTED, partitions=48), 3) == []


def test_two_in_sync_are_wanted_only_where_there_are_three() -> None:
    assert REQUESTS.config["min.insync.replicas"] == "2"
    assert required(Topics("t").all()[1], 1).config["min.insync.replicas"] == "1"


def test_brokers_whose_death_is_noticed_late_are_named() -> None:
    lines = slow_to_notice({1: 2000, 2: 9000, 3: 3000})

    assert len(lines) == 1
    assert lines[0].startswith("broker 2: broker.session.timeout.ms is 9000, wanted 3000 or less")

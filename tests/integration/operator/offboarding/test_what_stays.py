"""Until when the log keeps what was deleted, and what removes it earlier."""

from datetime import timedelta

import pytest

from rollcall.control.offboarding.what_stays import judge
from rollcall.runtime.clock import now
from tests.integration.operator.offboarding.organisations import LONGEST


def test_a_record_is_gone_when_the_segment_that_may_hold_it_is() -> None:
    at = now()
    config = {"retention.ms": "7776000000", "segment.ms": "604800000", "cleanup.policy": "delete"}

    kept = judge("rollcall.requests", "requests", config, at)

    assert kept.gone_by == at + timedelta(days=97)


@pytest.mark.parametrize(
    ("config", "by"),
    [
        ({"retention.ms": "-1", "segment.ms": "1", "cleanup.policy": "delete"}, "delete-records"),
        ({"retention.ms": "-1", "segment.ms": "1", "cleanup.policy": "compact"}, "tombstones"),
        ({}, "delete-records"),
        (
            {"retention.ms": LONGEST, "segment.ms": "1", "cleanup.policy": "delete"},
            "delete-records",
        ),
        (
            {"retention.ms": "1", "segment.ms": LONGEST, "cleanup.policy": "delete"},
            "delete-records",
        ),
    ],
)
def test_what_has_no_retention_says_what_removes_it(config: dict[str, str], by: str) -> None:
    kept = judge("a topic", "something", config, now())

    assert kept.gone_by is None
    assert by in kept.removed_by
    assert "without a time limit" in str(kept)

"""Settings on whose relation a promise rests."""

import pytest

from rollcall.runtime.config import load
from rollcall.runtime.errors import InvalidSettings
from rollcall_ingress.config import IngressSettings

GIVEN = {
    "kafka_bootstrap": "127.0.0.1:9092",
    "database_url": "postgresql://rollcall_ingress@127.0.0.1/rollcall",
    "invitation_secret": "s" * 32,
}


def test_an_acknowledgement_is_awaited_at_least_until_the_request_is_late() -> None:
    """Otherwise 503 is said while the broker may still append it in time."""
    with pytest.raises(InvalidSettings) as caught:
        load(IngressSettings, **GIVEN, ingress_accept_s=10, ingress_acknowledge_s=9.9)

    assert "ROLLCALL_INGRESS_ACKNOWLEDGE_S" in str(caught.value)
    assert "ROLLCALL_INGRESS_ACCEPT_S" in str(caught.value)
    load(IngressSettings, **GIVEN, ingress_accept_s=10, ingress_acknowledge_s=10)


@pytest.mark.parametrize("longer", [{"ingress_acknowledge_s": 56}, {"ingress_reply_budget_s": 51}])
def test_no_answer_takes_longer_than_identity_providers_wait(longer: dict[str, float]) -> None:
    with pytest.raises(InvalidSettings):
        load(IngressSettings, **GIVEN, **longer)

"""A deletion waits for as long as any replica of ingress may take a request, however it is set."""

from typing import Any

import pytest
from pydantic import ValidationError

from rollcall.control.offboarding.delete import SETTLE_S, Options
from rollcall.events.request import MAX_ACCEPT_S
from rollcall.runtime.config import load
from rollcall.runtime.errors import InvalidSettings
from rollcall.tenancy.api_key import MAX_STALE_S
from rollcall_ingress.config import IngressSettings
from rollcall_ingress.door.authenticate import StaleAfter


def settings(**given: Any) -> IngressSettings:
    return load(
        IngressSettings,
        kafka_bootstrap="localhost:9092",
        database_url="postgresql://rollcall_ingress@localhost/rollcall",
        invitation_secret="s" * 32,
        **given,
    )


def test_the_most_that_ingress_may_be_set_to_has_passed_before_the_last_event() -> None:
    most = settings(ingress_accept_s=MAX_ACCEPT_S, ingress_acknowledge_s=55)

    assert Options().settle_s == SETTLE_S
    assert StaleAfter().write_s <= MAX_STALE_S
    assert MAX_STALE_S + most.ingress_accept_s < SETTLE_S


def test_ingress_does_not_start_with_more() -> None:
    with pytest.raises((InvalidSettings, ValidationError)):
        settings(ingress_accept_s=MAX_ACCEPT_S + 0.1, ingress_acknowledge_s=55)

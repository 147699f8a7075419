"""What the notifier's settings must not be in production."""

import pytest

from rollcall.runtime.config import load
from rollcall.runtime.errors import InvalidSettings
from rollcall_notifier.budget import RESERVE, WINDOW_S
from rollcall_notifier.config import NotifierSettings
from rollcall_notifier.send import BURST_PER_ORGANISATION

SECRET = "made-for-this-deployment-alone-0123"
GIVEN = {
    "kafka_bootstrap": "kafka:9092",
    "database_url": "postgresql://notifier:own@h/db",
    "invitation_secret": SECRET,
}


def settings(environment: str, **given: str) -> NotifierSettings:
    return load(NotifierSettings, **{**GIVEN, "environment": environment, **given})


@pytest.mark.parametrize(
    "login", [{"smtp_username": "rollcall"}, {"smtp_password": "pw"}, {"smtp_username": "a"}]
)
def test_production_sends_no_login_in_clear_text(login: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="ROLLCALL_SMTP_TLS"):
        settings("production", **login)

    for tls in ("starttls", "tls"):
        assert settings("production", smtp_tls=tls, **login).smtp_tls == tls
    assert settings("development", **login).smtp_tls == "none"


def test_production_may_speak_to_a_relay_without_a_login() -> None:
    assert settings("production").smtp_tls == "none"


def test_production_makes_no_links_with_the_published_secret() -> None:
    published = "dev-only-invitation-secret-that-everybody-knows"

    with pytest.raises(InvalidSettings, match="ROLLCALL_INVITATION_SECRET") as caught:
        settings("production", invitation_secret=published)

    assert published not in str(caught.value)
    assert settings("development", invitation_secret=published)


def test_the_bounds_of_mails_are_there_without_a_setting() -> None:
    given = settings("production")

    assert (given.notifier_recipient_mails, WINDOW_S) == (3, 600)
    assert (given.notifier_recipient_mails_a_day, RESERVE) == (10, 2)
    assert (given.notifier_rate_per_organisation, BURST_PER_ORGANISATION) == (5, 3000)
    assert given.notifier_settle_s == 10
    assert given.notifier_recipient_domains == ""


def test_a_list_of_domains_with_what_is_none_is_named_at_the_start() -> None:
    assert settings("production", notifier_recipient_domains="acme.example, .acme.example")
    with pytest.raises(InvalidSettings, match=r"ROLLCALL_NOTIFIER_RECIPIENT_DOMAINS.*'ana@acme'"):
        settings("production", notifier_recipient_domains="acme.example,ana@acme")

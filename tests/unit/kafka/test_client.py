"""Connection options from the settings."""

from pathlib import Path

import pytest

from rollcall.kafka.client import client_options
from rollcall.runtime.config import Settings, load
from rollcall.runtime.errors import InvalidSettings


def test_plaintext_names_the_servers_and_nothing_secret() -> None:
    options = client_options(load(Settings, kafka_bootstrap="a:1,b:2"))

    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert "ssl_context" not in options
    assert "sasl_plain_password" not in options


def test_sasl_takes_the_principal() -> None:
    settings = load(
        Settings,
        kafka_bootstrap="a:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="ingress",
        kafka_sasl_password="secret",
    )

    options = client_options(settings)

    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "ingress"
    assert options["sasl_plain_password"] == "secret"
    assert options["ssl_context"].check_hostname


def test_a_certificate_that_is_not_there_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    settings = load(
        Settings,
        kafka_bootstrap="a:1",
        kafka_security_protocol="SSL",
        kafka_ca_file=str(tmp_path / "missing.pem"),
    )

    with pytest.raises(InvalidSettings, match="ROLLCALL_KAFKA_CA_FILE"):
        client_options(settings)

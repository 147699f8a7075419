"""How every Kafka client of ours connects: addresses, encryption, principal."""

import ssl
from pathlib import Path
from typing import Any, Final

from shared.runtime.config import InvalidSettings, Settings

REQUEST_TIMEOUT_MS: Final = 10_000
"""Until a request to a broker counts as lost; the producer has its own, shorter one."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes: bootstrap, security, SASL, TLS.

    Raises InvalidSettings where a certificate's file cannot be read.
    """
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "security_protocol": protocol,
        "metadata_max_age_ms": 30_000,
    }
    if protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    for variable, path in (
        ("ROLLCALL_KAFKA_CA_FILE", settings.kafka_ca_file),
        ("ROLLCALL_KAFKA_CERT_FILE", settings.kafka_cert_file),
        ("ROLLCALL_KAFKA_KEY_FILE", settings.kafka_key_file),
    ):
        if path and not Path(path).is_file():
            raise InvalidSettings(f"{variable}: cannot read {path}")
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
        if settings.kafka_cert_file:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file or None)
    except (ssl.SSLError, OSError) as error:
        raise InvalidSettings(f"Kafka's certificate files cannot be used: {error}") from error
    return context

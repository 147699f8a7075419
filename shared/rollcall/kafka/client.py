"""How all our Kafka clients connect: addresses, encryption, principal."""

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError

from rollcall.runtime.config import Settings
from rollcall.runtime.errors import InvalidSettings, Unavailable

REQUEST_TIMEOUT_MS: Final = 10_000
"""When a request to a broker counts as lost. The producer has its own, shorter time-out."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for every aiokafka client: bootstrap servers, security, SASL, TLS.

    Raises InvalidSettings if a certificate's file cannot be read.
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


@contextmanager
def unavailable_if_away() -> Iterator[None]:
    """Inside, an error of Kafka, of the network or of a time-out becomes Unavailable."""
    try:
        yield
    except (KafkaError, IllegalStateError, OSError, TimeoutError) as error:
        # aiokafka's own errors begin with their name.
        is_named = isinstance(error, KafkaError) or not str(error)
        said = str(error) or type(error).__name__
        raise Unavailable(
            f"Kafka ({said if is_named else f'{type(error).__name__}: {said}'})"
        ) from error


async def ended(ending: Coroutine[Any, Any, None], timeout_s: float) -> bool:
    """Run the end of a client in its own task; returns whether it ended without error and in time.

    aiokafka cancels its own requests and awaits them, so its `stop` raises CancelledError if a
    request was under way (a broker that is away). In the caller's task that would look like the
    caller's own cancellation and end it silently.
    """
    task = asyncio.create_task(ending)
    await asyncio.wait([task], timeout=timeout_s)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
    return task.done() and not task.cancelled() and task.exception() is None


async def stop_consumer(consumer: AIOKafkaConsumer, timeout_s: float) -> None:
    """Stop a consumer in any state of its broker. Raises no error of the client."""
    if not await ended(consumer.stop(), timeout_s):
        # `stop` failed half-way, so the connections are still open.
        await ended(consumer._client.close(), timeout_s)  # noqa: SLF001


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

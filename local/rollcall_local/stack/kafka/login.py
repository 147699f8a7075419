"""The login of a stack's own Kafka: on a machine with other users, an open port is everybody's.

One user may do everything; its random password is in `secrets.json`. A native broker asks for
SCRAM-SHA-512, which does not send the password, not even to another user's program that listens on
our port while the broker is down. The broker of an image cannot be given a SCRAM login
when its storage is formatted, so there it is PLAIN. Only the broker itself uses the
controller's listener: with a password that is made at each start.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, Literal

Mechanism = Literal["SCRAM-SHA-512", "PLAIN"]
SECRET: Final = "kafka"  # noqa: S105 its name
"""The name of the password in `secrets.json`."""
USER: Final = "rollcall"
_JAAS: Final = "org.apache.kafka.common.security"
_CONTROLLER: Final = "controller"


@dataclass(frozen=True, slots=True)
class Login:
    """Who a client says it is, and how. The password has letters, digits, `-` and `_` only."""

    password: str
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = USER

    @classmethod
    def of(cls, kafka_kind: str, password: str | None) -> Login | None:
        """The login of a stack's Kafka; None where it is not ours, or of an earlier release."""
        if kafka_kind == "external" or not password:
            return None
        return cls(password, "SCRAM-SHA-512" if kafka_kind == "native" else "PLAIN")

    def settings(self) -> dict[str, str]:
        """Our clients' settings (`shared/rollcall/runtime/config.py`)."""
        return {
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_sasl_mechanism": self.mechanism,
            "kafka_sasl_username": self.user,
            "kafka_sasl_password": self.password,
        }

    @property
    def note(self) -> str:
        """A hash of the login, noted beside the storage that knows it."""
        return hashlib.sha256(f"{self.user}\n{self.password}".encode()).hexdigest()

    @property
    def added(self) -> str:
        """The argument of Kafka's tool for formatting a storage with this login."""
        return f"{self.mechanism}=[name={self.user},password={self.password}]"


def plain_for_once() -> Login:
    """A login for one start of a broker."""
    return Login(secrets.token_urlsafe(32), "PLAIN")


def properties(login: Login, client: str, controller: str) -> dict[str, str]:
    """The settings with which a broker asks for a login, over those of an open one.

    `client` and `controller` are addresses, `host:port`.
    """
    listeners = f"CLIENT://{client},CONTROLLER://{controller}"
    mechanism = login.mechanism.lower()
    module = "scram.ScramLoginModule" if mechanism.startswith("scram") else "plain.PlainLoginModule"
    own = _jaas(module, login.user, login.password, is_server=module.startswith("plain"))
    between = _jaas("plain.PlainLoginModule", _CONTROLLER, secrets.token_urlsafe(32))
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "sasl.enabled.mechanisms": login.mechanism,
        "sasl.mechanism.inter.broker.protocol": login.mechanism,
        "sasl.mechanism.controller.protocol": "PLAIN",
        f"listener.name.client.{mechanism}.sasl.jaas.config": own,
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": between,
    }


def _jaas(module: str, user: str, password: str, *, is_server: bool = True) -> str:
    """The broker is its own client too; with `is_server` the line also lists accepted users."""
    lets_in = f' user_{user}="{password}"' if is_server else ""
    return f'{_JAAS}.{module} required username="{user}" password="{password}"{lets_in};'

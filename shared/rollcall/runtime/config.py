"""Settings: one frozen class per service, read once at the start from `ROLLCALL_…` variables.

A secret may come from a file instead: `ROLLCALL_DATABASE_URL_FILE=/run/secrets/url` (Kubernetes
mounts secrets as files). All mistakes are reported together, each with what the setting may be.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import orjson
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rollcall.runtime.errors import InvalidSettings

PREFIX = "ROLLCALL_"
PUBLISHED = "dev-only-"
"""Part of each secret in deploy/, which everybody can read."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86400 * 30)]


def _without_trailing_slash(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _bootstrap(value: str) -> str:
    for server in value.split(","):
        host, separator, port = server.strip().rpartition(":")
        if not (host and separator and port.isascii() and port.isdigit()):
            raise ValueError("must be host:port, or several of them with commas between")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    return value


PublicUrl = Annotated[str, AfterValidator(_without_trailing_slash)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Bootstrap = Annotated[str, AfterValidator(_bootstrap)]


class SecretFiles(PydanticBaseSettingsSource):
    """`ROLLCALL_X_FILE` names a file that holds the value of the secret setting `x`."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        if not is_secret(field.annotation):
            return None, field_name, False
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError):
            return None, field_name, False  # `load` tells it, beside all other mistakes

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                found[key] = value
        return found


class Settings(BaseSettings):
    """What every service shares."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    environment: Literal["production", "development", "test"] = Field(
        "development",
        description="Where this runs; faults and clock offsets exist only in `test`, and "
        "`production` takes no published secret and no login in clear text.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Least level that is logged. Ingress has a line for each request at `info`; "
        "lines for each record are `debug`.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: JSON unless standard output is a terminal."
    )
    kafka_bootstrap: Bootstrap = Field(
        description="Kafka's bootstrap servers, `host:port[,host:port]`."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to speak to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol has SASL."
    )
    kafka_sasl_username: str = Field("", description="This service's Kafka principal.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="The principal's password.")
    kafka_ca_file: str = Field("", description="PEM file with the authorities that Kafka uses.")
    kafka_cert_file: str = Field("", description="PEM file with a client certificate, for mTLS.")
    kafka_key_file: str = Field("", description="PEM file with the key of that certificate.")
    topic_prefix: str = Field(
        "rollcall",
        pattern=r"^[a-zA-Z0-9._-]{1,80}$",
        description="First part of every topic's name; another prefix is another deployment.",
    )
    fault: str = Field(
        "", description="Name of a fault point, for tests: the process kills itself there."
    )
    clock_offset_s: float = Field(
        0, description="Seconds that this process's clock is ahead, for tests; negative: behind."
    )

    def unsafe(self) -> list[str]:
        """A line for each setting that a production must not have, with what to do instead."""
        return [
            f"{PREFIX}{name.upper()}: is a secret that is published with the examples; "
            "make your own"
            for name, value in self
            if isinstance(value, SecretStr) and is_published(value.get_secret_value())
        ]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, SecretFiles(settings_cls))


def is_published(secret: str) -> bool:
    """Whether the secret, or the password in it, stands in the examples of deploy/."""
    return PUBLISHED in secret.lower()


S = TypeVar("S", bound=Settings)


def load(settings_class: type[S], **given: Any) -> S:
    """The settings from the environment. Raises InvalidSettings with a line for each mistake."""
    unreadable = _unreadable_files(settings_class)
    lines = [f"  {PREFIX}{name.upper()}_FILE: {why}" for name, why in unreadable.items()]
    lines += _only_for_tests(given)
    settings: S | None = None
    try:
        settings = settings_class(**given)
    except ValidationError as error:
        lines += [
            _explain(settings_class, item)
            for item in error.errors(include_url=False)
            if _field_of(item) not in unreadable
        ]
    if settings is not None and settings.environment == "production":
        lines += [f"  {line}" for line in settings.unsafe()]
    if settings is None or lines:
        raise InvalidSettings("\n".join(lines))
    return settings


def _unreadable_files(settings_class: type[Settings]) -> dict[str, str]:
    """Field → why the file that is to hold it cannot be read."""
    found = {}
    for name, field in settings_class.model_fields.items():
        path = os.environ.get(f"{PREFIX}{name.upper()}_FILE")
        if path and is_secret(field.annotation):
            try:
                Path(path).read_text(encoding="utf-8")
            except OSError as error:
                found[name] = f"cannot read {path}: {error.strerror}"
            except UnicodeDecodeError:
                found[name] = f"cannot read {path}: it is no text"
    return found


def _only_for_tests(given: Mapping[str, Any]) -> list[str]:
    """A line for each setting that only tests may have, where this is none."""

    def value(name: str) -> str:
        return str(given.get(name) or os.environ.get(f"{PREFIX}{name.upper()}") or "")

    if value("environment") == "test":
        return []
    return [
        f"  {PREFIX}{name.upper()}: is for tests; leave it empty, or set {PREFIX}ENVIRONMENT=test"
        for name in ("fault", "clock_offset_s")
        if value(name) not in ("", "0")
    ]


def load_or_exit(settings_class: type[S], arguments: Sequence[str] = ()) -> S:
    """As `load`; prints all mistakes and exits with status 2, or with 0 after `--print-config`."""
    try:
        settings = load(settings_class)
    except InvalidSettings as error:
        print(f"Settings are missing or wrong:\n{error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    if "--print-config" in arguments:
        sys.stdout.write(render(settings))
        raise SystemExit(0)
    return settings


def render(settings: Settings) -> str:
    """The settings as JSON with secrets hidden."""
    shown = {
        PREFIX + name.upper(): "********" if isinstance(value, SecretStr) and value else value
        for name, value in settings
    }
    return (
        orjson.dumps(shown, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
        + "\n"
    )


def describe(settings_class: type[Settings]) -> list[tuple[str, str, str, str]]:
    """Rows (variable, what it may be, default, meaning) for the settings reference."""
    rows = []
    for name, field in settings_class.model_fields.items():
        default = "required" if field.default is PydanticUndefined else _default(field.default)
        variable = PREFIX + name.upper()
        if is_secret(field.annotation):
            variable += f" (or {PREFIX}{name.upper()}_FILE)"
        rows.append(
            (variable, _may_be(field.annotation, field.metadata), default, field.description or "")
        )
    return rows


def is_secret(annotation: Any) -> bool:
    """Whether a field of this type is hidden and may come from a file."""
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "empty" if not value.get_secret_value() else "hidden"
    return "empty" if value == "" else str(value)


def _explain(settings_class: type[Settings], item: Mapping[str, Any]) -> str:
    name = _field_of(item)
    variable = f"{PREFIX}{name.upper()}" if name else "settings"
    field = settings_class.model_fields.get(name)
    said = str(item["msg"]).removeprefix("Value error, ")
    what = "is missing" if item["type"] == "missing" else said[:1].lower() + said[1:]
    if field is None:
        return f"  {variable}: {what}"
    may_be = _may_be(field.annotation, field.metadata)
    return f"  {variable}: {what}; it may be {may_be}. {field.description or ''}".rstrip()


def _field_of(item: Mapping[str, Any]) -> str:
    location = item["loc"]
    return str(location[0]).removeprefix(PREFIX.lower()) if location else ""


def _may_be(annotation: Any, metadata: Sequence[Any]) -> str:
    arguments = get_args(annotation)
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return ", ".join(arguments)
    if arguments and type(None) in arguments:
        return _may_be(arguments[0], metadata) + ", or unset"
    kind = {int: "a whole number", float: "a number", bool: "true or false"}.get(annotation, "text")
    bounds = [
        f"{word} {getattr(item, name)}"
        for item in metadata
        for name, word in (("ge", "from"), ("le", "to"), ("gt", "above"), ("lt", "below"))
        if hasattr(item, name)
    ]
    patterns = [f"like {item.pattern}" for item in metadata if getattr(item, "pattern", None)]
    return " ".join([kind, *bounds, *patterns])

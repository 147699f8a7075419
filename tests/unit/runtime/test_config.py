"""Settings: all mistakes at once, secrets from files and hidden."""

import re
from pathlib import Path

import pytest
from pydantic import Field

from rollcall.runtime import config
from rollcall.runtime.errors import InvalidSettings


class Sample(config.Settings):
    door_port: config.Port = Field(8080, description="Where the door listens.")
    database_url: config.DatabaseUrl = Field(description="Where Postgres is.")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:9092")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", "postgres://u:hunter2@h/d")


def test_all_mistakes_are_reported_together_with_what_each_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ROLLCALL_DATABASE_URL")
    monkeypatch.setenv("ROLLCALL_DOOR_PORT", "70000")
    monkeypatch.setenv("ROLLCALL_LOG_LEVEL", "loud")

    with pytest.raises(InvalidSettings) as caught:
        config.load(Sample)

    text = str(caught.value)
    assert "ROLLCALL_DATABASE_URL: is missing" in text
    assert "ROLLCALL_DOOR_PORT" in text
    assert "from 1 to 65535" in text
    assert "debug, info, warning, error" in text


def test_a_wrong_secret_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLCALL_DOOR_PORT", "none")

    with pytest.raises(SystemExit) as caught:
        config.load_or_exit(Sample)

    assert caught.value.code == 2
    assert "hunter2" not in capsys.readouterr().err


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ROLLCALL_DATABASE_URL")
    (tmp_path / "url").write_text("postgres://from-file\n")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL_FILE", str(tmp_path / "url"))

    settings = config.load(Sample)

    assert settings.database_url.get_secret_value() == "postgres://from-file"


def test_a_secret_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLCALL_DATABASE_URL_FILE", "/nowhere/url")
    monkeypatch.delenv("ROLLCALL_DATABASE_URL")

    with pytest.raises(InvalidSettings, match="/nowhere/url"):
        config.load(Sample)


def test_printed_settings_hide_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        config.load_or_exit(Sample, ["--print-config"])

    printed = capsys.readouterr().out
    assert caught.value.code == 0
    assert "hunter2" not in printed
    assert '"ROLLCALL_DOOR_PORT": 8080' in printed


@pytest.mark.parametrize("environment", ["production", "development"])
def test_a_fault_point_is_refused_outside_tests(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_FAULT", "provisioner.before_commit")
    monkeypatch.setenv("ROLLCALL_ENVIRONMENT", environment)

    with pytest.raises(InvalidSettings, match="ROLLCALL_FAULT"):
        config.load(Sample)


@pytest.mark.parametrize("environment", ["production", "development"])
def test_a_clock_offset_is_refused_outside_tests(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_CLOCK_OFFSET_S", "-60")
    monkeypatch.setenv("ROLLCALL_ENVIRONMENT", environment)

    with pytest.raises(InvalidSettings, match="ROLLCALL_CLOCK_OFFSET_S"):
        config.load(Sample)


@pytest.mark.parametrize(
    "url",
    ["postgresql://rollcall:dev-only-ingress@h/db", "postgresql://rollcall:DEV-ONLY-x@h/db"],
)
def test_production_takes_no_secret_that_everybody_can_read(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(url)
    monkeypatch.delenv("ROLLCALL_DATABASE_URL")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL_FILE", str(tmp_path / "url"))

    assert config.load(Sample).database_url.get_secret_value() == url
    monkeypatch.setenv("ROLLCALL_ENVIRONMENT", "production")
    with pytest.raises(InvalidSettings, match="ROLLCALL_DATABASE_URL") as caught:
        config.load(Sample)

    assert url not in str(caught.value)


def test_every_secret_of_the_examples_is_known_to_be_published() -> None:
    deploy = Path(__file__).parents[3] / "deploy"
    examples = [deploy / "compose.yaml", deploy / "kubernetes/overlays/dev/kustomization.yaml"]
    found = re.findall(
        r"(?:PASSWORD|SECRET)[^\n]*?:-([^}]+)}|//\w+:([^@$\n]+)@|- secret=(\S+)",
        "\n".join(each.read_text() for each in examples),
    )

    assert len(found) > 4
    secrets = {"".join(each) for each in found} - {"/dev/null"}  # no file: no login at the server
    assert all(map(config.is_published, secrets))


def test_the_reference_names_every_setting() -> None:
    rows = config.describe(Sample)

    assert {row[0] for row in rows} >= {
        "ROLLCALL_DOOR_PORT",
        "ROLLCALL_DATABASE_URL (or ROLLCALL_DATABASE_URL_FILE)",
    }
    assert all(row[3] for row in rows)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ROLLCALL_KAFKA_BOOTSTRAP", "kafka", "host:port"),
        ("ROLLCALL_KAFKA_BOOTSTRAP", "kafka:9092,", "host:port"),
        ("ROLLCALL_TOPIC_PREFIX", "No Spaces", "^[a-zA-Z0-9._-]{1,80}$"),
    ],
)
def test_an_address_that_is_none_is_a_mistake(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidSettings) as caught:
        config.load(Sample)

    assert f"  {variable}: " in str(caught.value)
    assert expected in str(caught.value)


def test_a_database_that_is_not_postgres_is_a_mistake_and_its_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", "mysql://u:hunter2@h/d")

    with pytest.raises(InvalidSettings) as caught:
        config.load(Sample)

    assert "postgresql://" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_cannot_be_read_and_a_fault_hide_no_other_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ROLLCALL_DATABASE_URL")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL_FILE", "/nowhere/url")
    monkeypatch.setenv("ROLLCALL_DOOR_PORT", "none")
    monkeypatch.setenv("ROLLCALL_FAULT", "x")

    with pytest.raises(InvalidSettings) as caught:
        config.load(Sample)

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        "ROLLCALL_DATABASE_URL_FILE",
        "ROLLCALL_FAULT",
        "ROLLCALL_DOOR_PORT",
    ]

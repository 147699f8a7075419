"""deploy/compose.yaml: valid, and the same deployment as the dev overlay for Kubernetes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rollcall.runtime.config import PREFIX
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_notifier.config import NotifierSettings
from tests.deploy.settings_of import ALL_SETTINGS, SETTINGS, parse, settings_of, variables
from tests.support.deploy.compose import FILE, VARIABLE, composed
from tests.support.deploy.manifests import ROOT, Json, built

ROLES = ROOT / "deploy" / "compose" / "roles.sql"
OURS = ("topics", "schema", "ingress", "provisioner", "notifier", "console", "operator")
MAKE_ENV = ROOT / "deploy" / "compose" / "make-env"


SERVICES: dict[str, Json] = composed()["services"]


def validate(document: Json) -> None:
    """By the schema's draft, which it names in a way that the library does not know."""
    published = json.loads((ROOT / "deploy/schemas/compose-spec.json").read_text())
    jsonschema.Draft7Validator(published).validate(document)


def test_it_is_valid_by_the_specification_s_schema() -> None:
    validate(composed())


def test_a_key_that_the_specification_does_not_know_is_found() -> None:
    document = composed()
    document["services"]["kafka"]["restarts"] = "always"

    with pytest.raises(jsonschema.ValidationError, match="restarts"):
        validate(document)


def test_every_image_is_named_by_a_variable() -> None:
    document = composed(
        ROLLCALL_IMAGE="ours", KAFKA_IMAGE="log", POSTGRES_IMAGE="rows", MAILPIT_IMAGE="mails"
    )

    images = {name: each["image"] for name, each in document["services"].items()}

    assert {images.pop(name) for name in OURS} == {"ours"}
    assert images == {"kafka": "log", "postgres": "rows", "mailpit": "mails"}


def test_images_are_those_of_the_dev_overlay() -> None:
    cluster = {container["image"] for pod in built("dev").pods() for container in pod.containers}

    assert {each["image"] for each in SERVICES.values()} == cluster


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch("[1-9][0-9]*:[1-9][0-9]*", service["user"])  # not root, nor its group
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch("[0-9]+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1024
    for opened in ("privileged", "cap_add", "devices", "network_mode", "pid", "ipc"):
        assert opened not in service
    assert all(re.search(":size=[0-9]+m", each) for each in service.get("tmpfs", ()))


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_as_the_user_of_its_image(name: str) -> None:
    assert SERVICES[name]["user"] == "10001:10001"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_an_image_of_others_is_named_by_its_digest(name: str) -> None:
    assert re.search("^[a-z/]+:v?[0-9.]+@sha256:[0-9a-f]{64}$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted({"kafka", "postgres"}))
def test_they_run_as_in_the_dev_overlay(name: str) -> None:
    [pod] = [pod for pod in built("dev").pods() if pod.name == name]
    security = pod.spec["securityContext"]

    assert SERVICES[name]["user"] == f"{security['runAsUser']}:{security['runAsGroup']}"


def secret_variables() -> set[str]:
    return {found[1] for found in VARIABLE.finditer(FILE.read_text()) if found[2] == "?"}


def test_no_password_is_published() -> None:
    """Each must be set: what listens in a container is reached by every user of the machine."""
    text = FILE.read_text()
    defaults = {found[1]: found[3] for found in VARIABLE.finditer(text) if found[2] == "-"}

    assert "dev-only" not in text
    assert not [name for name in defaults if re.search("PASSWORD$|SECRET$", name)]
    assert len(secret_variables()) == 9


def test_the_passwords_are_made_once_and_are_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("ROLLCALL_PORT=8090\nPOSTGRES_PASSWORD=ofmine\n")

    for _ in range(2):
        subprocess.run([MAKE_ENV, file], check=True, timeout=30)

    lines = file.read_text().splitlines()
    made = dict(line.split("=") for line in lines)
    assert len(lines) == len(made) == len(secret_variables()) + 1
    assert set(made) == secret_variables() | {"ROLLCALL_PORT"}
    assert (made.pop("ROLLCALL_PORT"), made.pop("POSTGRES_PASSWORD")) == ("8090", "ofmine")
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in made.values())
    assert len(set(made.values())) == len(made)
    assert file.stat().st_mode & 0o077 == 0
    assert "deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_kafka_asks_for_the_login_that_our_services_have() -> None:
    given = composed(ROLLCALL_KAFKA_SASL_PASSWORD="of-kafka")["services"]
    kafka: dict[str, str] = given["kafka"]["environment"]
    protocols = dict(
        each.split(":") for each in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    open_to = {
        address.split("://")[1].rpartition(":")[0]
        for address in kafka["KAFKA_LISTENERS"].split(",")
        if protocols[address.split("://")[0]] == "PLAINTEXT"
    }

    assert open_to == {"localhost"}
    jaas = kafka["KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG"]
    assert "\n" not in jaas
    assert 'user_rollcall="of-kafka"' in jaas
    assert jaas.count("user_") == 1
    for name in OURS:
        if name == "schema":
            continue
        settings = given[name]["environment"]
        assert settings["ROLLCALL_KAFKA_SECURITY_PROTOCOL"] == "SASL_PLAINTEXT"
        assert settings["ROLLCALL_KAFKA_SASL_MECHANISM"] == kafka["KAFKA_SASL_ENABLED_MECHANISMS"]
        assert settings["ROLLCALL_KAFKA_SASL_USERNAME"] == "rollcall"
        assert settings["ROLLCALL_KAFKA_SASL_PASSWORD"] == "of-kafka"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"topics", "schema", "operator"}))
def test_what_goes_on_running_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_probe_asks_where_the_service_answers(name: str) -> None:
    service = SERVICES[name]
    command = service["healthcheck"]["test"][1:]
    port = service["environment"][f"{PREFIX}{name.upper()}_ADMIN_PORT"]

    assert command[0] == "rollcall"
    parse(command[1:])
    assert command[-1] == f"http://127.0.0.1:{port}/readyz"


@pytest.mark.parametrize("name", OURS)
def test_commands_and_variables_are_those_of_the_code(name: str) -> None:
    service = SERVICES[name]
    known = set.union(*map(variables, ALL_SETTINGS))
    shared = set(composed()["x-settings"])

    assert set(service["environment"]) <= known
    if name != "operator":
        parse(service["command"])
        own = set(service["environment"]) - shared
        assert own <= variables(settings_of({"args": service["command"]}))


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_complete_and_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, str(value))

    SETTINGS[name]()


def test_services_begin_after_the_release() -> None:
    for name in ("ingress", "provisioner", "notifier", "console", "operator"):
        conditions = {on: each["condition"] for on, each in SERVICES[name]["depends_on"].items()}
        assert conditions == dict.fromkeys(("topics", "schema"), "service_completed_successfully")


def test_the_broker_has_the_settings_of_the_dev_overlay() -> None:
    """But for its own name, the place of its volume, and its login: pods have network policies."""
    cluster = built("dev")
    [pod] = [pod for pod in cluster.pods() if pod.name == "kafka"]
    theirs = cluster.environment(pod.containers[0])
    ours: dict[str, Any] = SERVICES["kafka"]["environment"]
    own = {"KAFKA_ADVERTISED_LISTENERS", "KAFKA_LOG_DIRS", "KAFKA_LISTENERS"}
    own |= {"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"}
    login = {name for name in ours if "SASL" in name or name == "KAFKA_INTER_BROKER_LISTENER_NAME"}

    assert {k: v for k, v in ours.items() if k not in own | login} == {
        k: v for k, v in theirs.items() if k not in own
    }


@pytest.mark.parametrize(
    "file",
    [ROLES, ROOT / "deploy/kubernetes/overlays/dev/postgres/roles.sql"],
    ids=["compose", "dev"],
)
def test_every_role_loses_what_postgres_gives_it_and_none_needs(file: Path) -> None:
    """As docs/reference/database.md has it; tried in tests/integration/stack."""
    page = (ROOT / "docs/reference/database.md").read_text()
    [statements] = re.findall(
        r"^REVOKE ALL ON DATABASE postgres.*?gexec$", page, re.MULTILINE | re.DOTALL
    )

    assert statements in file.read_text()


def test_the_roles_are_made_with_the_passwords_that_the_services_use() -> None:
    text = ROLES.read_text()
    given: Json = composed(
        **{f"ROLLCALL_{name}_PASSWORD": f"pw-{name}" for name in ("OWNER", "INGRESS")}
    )["services"]

    for role in postgres_roles.ROLES:
        name = role.removeprefix("rollcall_")
        variable = f"ROLLCALL_{name.upper()}_PASSWORD"
        assert f"\\getenv {name} {variable}\n" in text
        assert f"CREATE ROLE {role} LOGIN PASSWORD :'{name}';" in text
        password = SERVICES["postgres"]["environment"][variable]
        user = {"owner": "schema"}.get(name, name)
        assert f"//{role}:{password}@" in SERVICES[user]["environment"]["ROLLCALL_DATABASE_URL"]
    assert (
        "//rollcall_ingress:pw-INGRESS@" in given["ingress"]["environment"]["ROLLCALL_DATABASE_URL"]
    )
    assert "//rollcall_owner:pw-OWNER@" in given["operator"]["environment"]["ROLLCALL_DATABASE_URL"]


def test_nothing_is_open_to_the_network_beside_this_machine() -> None:
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_data_is_kept_in_volumes() -> None:
    kept = {
        volume.split(":")[0]
        for each in SERVICES.values()
        for volume in each.get("volumes", [])
        if not volume.startswith(".")
    }

    assert kept == set(composed()["volumes"])


def test_a_mail_server_with_a_login_and_tls_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable of the page reaches the notifier's settings; the password as a file."""
    given = {
        "ROLLCALL_SMTP_HOST": "mail.example.com",
        "ROLLCALL_SMTP_PORT": "587",
        "ROLLCALL_SMTP_TLS": "starttls",
        "ROLLCALL_SMTP_USERNAME": "rollcall",
        "ROLLCALL_SMTP_PASSWORD_FILE": "/run/secrets/rollcall/smtp-password",
        "ROLLCALL_SMTP_CA_FILE": "/run/secrets/rollcall/ca.crt",
        "ROLLCALL_NOTIFIER_INVITATION_GRACE_S": "120",
    }
    page = (ROOT / "docs/operations/compose.md").read_text()
    notifier: Json = composed(**given)["services"]["notifier"]
    [(here, there, mode)] = [volume.split(":") for volume in notifier["volumes"]]
    assert (ROOT / "deploy" / here).is_dir()
    assert mode == "ro"
    (tmp_path / "smtp-password").write_text("of the login\n")
    for variable, value in notifier["environment"].items():
        monkeypatch.setenv(variable, str(value).replace(there, str(tmp_path)))

    settings = NotifierSettings()

    assert settings.smtp_tls == "starttls"
    assert (settings.smtp_host, settings.smtp_port) == ("mail.example.com", 587)
    assert settings.smtp_username == "rollcall"
    assert settings.smtp_password.get_secret_value() == "of the login"
    assert settings.smtp_ca_file == f"{tmp_path}/ca.crt"
    assert settings.notifier_invitation_grace_s == 120
    assert all(f"`{variable}`" in page for variable in given)
    validate(composed(**given))


def test_a_password_is_never_in_a_container_s_variables() -> None:
    assert "ROLLCALL_SMTP_PASSWORD" not in SERVICES["notifier"]["environment"]

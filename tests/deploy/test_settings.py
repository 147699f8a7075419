"""What the manifests set exists in the code: settings, files, keys, commands, names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core
import typer.main

from rollcall.events.topics import Topics
from rollcall.runtime.config import PREFIX, is_secret, load
from rollcall_local.stack.kafka import settings as kafka_settings
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_provisioner.config import ProvisionerSettings
from tests.deploy.settings_of import ALL_SETTINGS, SETTINGS, parse, settings_of, variables
from tests.support.deploy.manifests import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    VARIANTS,
    Json,
    Manifests,
    Pod,
    built,
    mounted_keys,
)

EXAMPLES = {
    "database-url": "postgresql://rollcall:x@postgres.example.com/rollcall",
    "secret": "an-invitation-secret-of-some-length",
}
OWN_PYTHON = "python3"
USAGE_ERROR: Any = typer.BadParameter.__base__
"""What the command line raises for an option or a value that it does not know."""
GUIDE = (ROOT / "docs" / "operations" / "kubernetes.md").read_text()


def containers(overlay: str) -> list[tuple[Pod, Json]]:
    pods = built(overlay, "snapshots").our_pods()
    return [(pod, each) for pod in pods for each in pod.containers]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting(overlay: str) -> None:
    """Those that all share may be some service's; a container's own must be of what it runs."""
    known = set.union(*map(variables, ALL_SETTINGS))
    for pod, container in containers(overlay):
        own = {each["name"] for each in container.get("env", [])}

        assert built(overlay).environment(container).keys() <= known, pod.name
        if "command" not in container:
            assert own <= variables(settings_of(container)), pod.name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_finds_its_settings_complete_and_valid(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pod, container in containers(overlay):
        if "command" in container:
            continue
        with monkeypatch.context() as patched:
            for name, value in as_mounted(built(overlay), pod, container, tmp_path).items():
                patched.setenv(name, value)

            load(settings_of(container))


def as_mounted(manifests: Manifests, pod: Pod, container: Json, folder: Path) -> dict[str, str]:
    """The container's variables, with its files written below `folder`."""
    environment = manifests.environment(container)
    for key in mounted_keys(pod, container):
        path = folder / key.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        in_build = [each["metadata"]["name"] for each in manifests.of("Secret")]
        content = manifests.secret(key.name) if key.name in in_build else EXAMPLES
        path.write_text(content.get(key.key, "of some length"))
        environment |= {n: str(path) for n, value in environment.items() if value == key.path}
    return environment


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_file_that_a_setting_names_is_mounted(overlay: str) -> None:
    for pod, container in containers(overlay):
        files = {each.path for each in mounted_keys(pod, container)}
        for name, value in built(overlay).environment(container).items():
            if name.endswith("_FILE"):
                assert value in files, (pod.name, container["name"], name)


def test_no_secret_is_a_variable() -> None:
    """A variable is shown by `kubectl describe`, and inherited by every child."""
    secret = {
        f"{PREFIX}{name.upper()}"
        for settings_class in ALL_SETTINGS
        for name, field in settings_class.model_fields.items()
        if is_secret(field.annotation)
    }
    for overlay in OVERLAYS:
        for pod, container in containers(overlay):
            assert not secret & built(overlay).environment(container).keys(), pod.name


def test_every_key_that_is_mounted_in_dev_is_in_a_secret_of_dev() -> None:
    for pod, container in containers("dev"):
        for key in mounted_keys(pod, container):
            assert built("dev").secret(key.name)[key.key], (pod.name, key)


def test_the_guide_makes_exactly_the_secrets_and_keys_that_production_mounts() -> None:
    mounted = {
        (key.name, key.key)
        for pod, container in containers("production")
        for key in mounted_keys(pod, container)
    }
    made = set()
    for name, options in re.findall(
        r"kubectl create secret generic (rollcall-\S+)((?:[^\n]*\\\n)*[^\n]*)", GUIDE
    ):
        made |= {(name, key) for key in re.findall(r"--from-(?:literal|file)=([\w.-]+)=", options)}

    assert {each for each in made if each[0] != "rollcall-keda"} == mounted


def test_the_guide_makes_the_secret_that_keda_reads() -> None:
    [authentication] = built("production", "keda").of("TriggerAuthentication")

    for reference in authentication["spec"]["secretTargetRef"]:
        assert reference["name"] == "rollcall-keda"
        assert f"--from-literal={reference['key']}=" in GUIDE or (
            f"--from-file={reference['key']}=" in GUIDE
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_command_is_one_that_the_command_line_has(overlay: str) -> None:
    for pod, container in containers(overlay):
        if "command" in container:
            assert container["command"] == [OWN_PYTHON], pod.name
        else:
            parse(container["args"])


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in (["photograph"], ["topics", "drop"], ["wait", "oracle"], ["migrate", "--fast"]):
        with pytest.raises((KeyError, USAGE_ERROR)):
            parse(wrong)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_service_listens_where_its_ports_say(overlay: str) -> None:
    for service in SETTINGS:
        pod = built(overlay).pod(service)
        [container] = pod.spec["containers"]
        environment = built(overlay).environment(container)
        name = service.upper()

        assert pod.port("admin") == int(environment[f"ROLLCALL_{name}_ADMIN_PORT"])
        assert environment[f"ROLLCALL_{name}_ADMIN_HOST"] == "0.0.0.0"
    for service in ("ingress", "console"):
        door = built(overlay).pod(service)
        port = environment_of(overlay, door)[f"ROLLCALL_{service.upper()}_PORT"]
        assert door.port("http") == int(port)


def environment_of(overlay: str, pod: Pod) -> dict[str, str]:
    return built(overlay).environment(pod.spec["containers"][0])


def test_what_ingress_and_notifier_have_to_agree_on_is_the_same() -> None:
    for overlay in OVERLAYS:
        seen = [
            {
                key.name
                for key in mounted_keys(pod, pod.spec["containers"][0])
                if key.key == "secret"
            }
            for pod in (built(overlay).pod("ingress"), built(overlay).pod("notifier"))
        ]
        assert seen[0] == seen[1] != set()


def test_each_service_has_a_login_of_its_own() -> None:
    for overlay in OVERLAYS:
        names = [
            environment_of(overlay, built(overlay).pod(service))["ROLLCALL_KAFKA_SASL_USERNAME"]
            for service in (*SETTINGS, "operator")
        ]
        assert len(set(names)) == 5
    for service in SETTINGS:
        pod = built("dev").pod(service)
        [key] = [
            key for key in mounted_keys(pod, pod.spec["containers"][0]) if key.key == "database-url"
        ]
        url = built("dev").secret(key.name)["database-url"]
        assert url.startswith(f"postgresql://rollcall_{service}:")


def test_the_brokers_settings_in_dev_are_those_of_a_stack_on_one_machine() -> None:
    [broker] = [
        each for each in built("dev").of("StatefulSet") if each["metadata"]["name"] == "kafka"
    ]
    [container] = broker["spec"]["template"]["spec"]["containers"]
    own = built("dev").environment(container)
    lone = kafka_settings.server_properties(kafka_settings.BrokerSettings(Path("/unused"), 1, 2))
    addresses = {
        "listeners",
        "advertised.listeners",
        "controller.quorum.bootstrap.servers",
        "log.dirs",
    }

    for key, value in lone.items():
        if key not in addresses:
            assert own[f"KAFKA_{key.upper().replace('.', '_')}"] == value


def test_the_database_in_dev_gets_the_roles_of_the_services() -> None:
    script = (KUBERNETES / "overlays/dev/postgres/roles.sql").read_text()

    assert set(re.findall(r"CREATE ROLE (\w+) LOGIN", script)) == set(postgres_roles.ROLES)
    passwords = built("dev").secret(
        next(
            each["metadata"]["name"]
            for each in built("dev").of("Secret")
            if each["metadata"]["name"].startswith("postgres-")
        )
    )
    assert set(re.findall(r"`cat /run/secrets/postgres/(\w+)`", script)) == (
        passwords.keys() - {"superuser"}
    )
    for name in ("ingress", "provisioner", "notifier", "console", "operator"):
        [secret] = [
            each["metadata"]["name"]
            for each in built("dev").of("Secret")
            if each["metadata"]["name"].startswith(f"rollcall-{name}-")
        ]
        role = "owner" if name == "operator" else name
        url = built("dev").secret(secret)["database-url"]
        assert url == f"postgresql://rollcall_{role}:{passwords[role]}@postgres:5432/rollcall"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_keda_watches_the_provisioners_own_group_and_topic(overlay: str) -> None:
    manifests = built(overlay, "keda")
    [scaled] = manifests.of("ScaledObject")
    [trigger] = scaled["spec"]["triggers"]
    settings = manifests.environment(manifests.pod("provisioner").spec["containers"][0])
    topics = Topics(settings.get("ROLLCALL_TOPIC_PREFIX", "rollcall"))
    provisioner = ProvisionerSettings.model_construct(topic_prefix=topics.prefix)

    assert trigger["metadata"]["topic"] == topics.requests
    assert trigger["metadata"]["consumerGroup"] == provisioner.group_id
    assert trigger["metadata"]["bootstrapServers"] == settings["ROLLCALL_KAFKA_BOOTSTRAP"]
    assert scaled["spec"]["maxReplicaCount"] == topics.requests_partitions
    assert manifests.named("Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    [authentication] = manifests.of("TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_ways_in_lead_to_the_doors(overlay: str) -> None:
    routes = built(overlay, "gateway").of("HTTPRoute")
    [ingress] = built(overlay, "ingress").of("Ingress")
    hosts = {}
    for number, name in enumerate(("rollcall-ingress", "rollcall-console")):
        [port] = built(overlay).named("Service", name)["spec"]["ports"]
        [route] = [
            each
            for each in routes
            if each["spec"]["rules"][0]["backendRefs"] == [{"name": name, "port": port["port"]}]
        ]
        rule = ingress["spec"]["rules"][number]
        [path] = rule["http"]["paths"]
        assert path["backend"]["service"] == {"name": name, "port": {"name": "http"}}
        assert port["name"] == "http"
        assert route["spec"]["hostnames"] == [rule["host"]]
        hosts[name] = rule["host"]
    assert len(routes) == len(ingress["spec"]["rules"]) == len(set(hosts.values())) == 2


@pytest.mark.parametrize(("overlay", "component"), VARIANTS)
def test_nothing_but_dev_holds_a_secret(overlay: str, component: str | None) -> None:
    secrets = built(overlay, component).of("Secret")

    assert bool(secrets) == (overlay == "dev")
    assert "dev-only" not in json.dumps(built("production", component).documents)


def test_the_guide_names_workloads_that_exist() -> None:
    known = {
        (document["kind"].lower(), document["metadata"]["name"])
        for overlay in OVERLAYS
        for document in built(overlay).documents
    }
    named = re.findall(r"\b(deploy|deployment|service|job)[/ ](rollcall-[\w.-]*\w|mailpit)", GUIDE)

    assert len(named) > 10
    for kind, name in named:
        assert ("deployment" if kind == "deploy" else kind, name) in known, (kind, name)


def test_the_guide_runs_commands_that_the_command_line_has() -> None:
    commands = re.findall(r"-- rollcall ([^\n|`]+)", GUIDE)

    assert len(commands) >= 2
    for command in commands:
        parse(command.split())


def test_the_guide_applies_folders_that_exist() -> None:
    folders = re.findall(r"(?:-k|-f) (deploy/\S+?)[`\s]", GUIDE)

    assert len(folders) >= 5
    assert all((ROOT / folder).exists() for folder in folders)

"""docs/operations/kubernetes.md, from an empty cluster to the first invited member, as it says.

Every command on the page is run, but those in `ELSEWHERE`; each test says what it fills in where a
reader would. The tests stand on one another, in the order of the page, but for what takes all away.
"""

import contextlib
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from rollcall_local.stack import ports
from rollcall_local.stack.process import wait_until
from tests.cluster import page
from tests.support.deploy.docker_engine import ROOT, engine
from tests.support.deploy.kubernetes import BESIDE, NAMESPACE, LoadedCluster, wait
from tests.support.deploy.manifests import kubectl

pytestmark = [pytest.mark.long, pytest.mark.timeout(900), pytest.mark.xdist_group("cluster")]
PAGE: Final = (ROOT / "docs" / "operations" / "kubernetes.md").read_text()
BLOCKS: Final = page.blocks(PAGE)
IN_TEXT: Final = page.in_text(PAGE)
ELSEWHERE: Final = {
    "kind create cluster --name rollcall": "the cluster is the one of KUBECONFIG",
    "kind load docker-image rollcall:0.1.0 --name rollcall": "ROLLCALL_CLUSTER_LOAD",
    "k3d cluster create rollcall": "the cluster is the one of KUBECONFIG",
    "k3d image import rollcall:0.1.0 --cluster rollcall": "ROLLCALL_CLUSTER_LOAD",
    "ROLLCALL_CLUSTER_LOAD='kind load image-archive {archive} --name rollcall' make test-cluster": (
        "this run"
    ),
    "kubectl apply -k": "named in sentences; the blocks have it with a folder",
}
DEV: Final = "deploy/kubernetes/overlays/dev"
PRODUCTION: Final = "kubectl apply -k deploy/kubernetes/overlays/production"
IN_OPERATOR: Final = "kubectl --namespace rollcall exec deploy/rollcall-operator -- rollcall"
MAILBOX: Final = "http://127.0.0.1:8025/api/v1/messages"


Filled = Mapping[str, str]
NOTHING: Final[Filled] = {}


@dataclass
class Reader:
    """Somebody who has the page open: the overlay's copy, the variables, what was run so far."""

    cluster: LoadedCluster
    overlay: Path
    files: Path
    variables: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def runs(self, command: str, filled: Filled = NOTHING, where: Path = ROOT) -> str:
        """Run a command of the page, with names filled in; its output."""
        assert command in self.commands(), f"not on the page: {command}"
        self.done.add(command)
        text = command.replace(DEV, str(self.overlay))
        for name, value in filled.items():
            assert name in text, (name, command)
            text = text.replace(name, value)
        try:
            done = page.run(text, where, self.variables)
        except AssertionError as error:
            error.add_note(self.cluster.kube.trouble())
            raise
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    def begins(self, start: str) -> str:
        """The one command of the page that begins so."""
        [found] = [each for each in self.commands() if each.startswith(start)]
        return found

    @staticmethod
    def commands() -> list[str]:
        """All of the page."""
        return list(dict.fromkeys([*(each for block in BLOCKS for each in block), *IN_TEXT]))


@pytest.fixture(scope="module")
def reader(cluster: LoadedCluster, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Has kubectl in the path, and a cluster with the image."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "kubectl").symlink_to(kubectl())
    made = Reader(cluster, cluster.kube.write_overlay(), tmp_path_factory.mktemp("secrets"))
    made.variables["PATH"] = f"{programs}:{os.environ['PATH']}"
    return made


def test_the_image_is_built_and_lists_its_commands(reader: Reader) -> None:
    with engine() as docker:
        reader.variables |= docker.environment
        base = f"--quiet --network=host --build-arg BASE={docker.base()}"
        reader.runs(reader.begins("docker build"), {"docker build": f"docker build {base}"})
        said = reader.runs(
            "docker run rollcall:0.1.0 --help", {"docker run": "docker run --rm --network=none"}
        )
        docker("image", "rm", "rollcall:0.1.0")

    assert "doctor" in said


def test_the_dev_overlay_is_applied_and_rolled_out(reader: Reader) -> None:
    [block] = [block for block in BLOCKS if block[0] == f"kubectl apply -k {DEV}"]

    for command in block:
        reader.runs(command)

    assert len(block) == 5


def test_the_first_member_is_created_and_invited(reader: Reader) -> None:
    made = json.loads(reader.runs(reader.begins(f"{IN_OPERATOR} org create Acme --json")))
    reader.variables |= {"SCIM_BASE_URL": made["scim_base_url"], "API_KEY": made["api_key"]}
    with contextlib.ExitStack() as terminals:
        for port in (8080, 8025):
            [command] = [c for c in reader.commands() if "port-forward" in c and f" {port}:" in c]
            terminals.enter_context(in_a_terminal_of_its_own(reader, command, port))

        created = json.loads(reader.runs(reader.begins("curl")))

        assert created["userName"] == "ana@acme.example"
        wait(lambda: "ana@acme.example" in mailed_to(), "the invitation is in the mailbox", 60)


def mailed_to() -> list[str]:
    with urllib.request.urlopen(MAILBOX, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return [to["Address"] for each in found["messages"] for to in each["To"]]


@contextlib.contextmanager
def in_a_terminal_of_its_own(reader: Reader, command: str, port: int) -> Iterator[None]:
    assert ports.is_free(port), f"port {port} of this machine is taken"
    reader.done.add(command)
    environment = {**os.environ, **reader.variables}
    process = subprocess.Popen(command.split(), env=environment, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: not ports.is_free(port), 20), command
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_the_operator_s_pod_comes_and_goes(reader: Reader) -> None:
    [block] = [block for block in BLOCKS if " scale deployment rollcall-operator" in block[0]]

    for command in block:
        reader.runs(command)

    assert "--replicas=0" in block[-1]
    wait(lambda: not reader.cluster.kube.pods("operator"), "the operator's pod is gone", 60)


def test_what_is_done_every_day_can_be_done(reader: Reader) -> None:
    """The operator's pod is called back first, as the block above it has it."""
    [block] = [block for block in BLOCKS if " scale deployment rollcall-operator" in block[0]]
    for command in block[:2]:
        reader.runs(command)

    examined = reader.runs(
        reader.begins(
            "kubectl --namespace rollcall exec deploy/rollcall-operator -- rollcall doctor"
        ),
        {"--replication 3": "--replication 1"},
    )
    pod = reader.cluster.kube.pods("ingress")[0]["metadata"]["name"]
    reader.runs("kubectl --namespace rollcall logs POD --container schema", {"POD": pod})
    reader.runs(reader.begins("kubectl --namespace rollcall rollout restart"))
    [status] = [c for c in reader.commands() if c.endswith("rollcall-ingress --timeout=900s")]
    reader.runs(status)
    for label in ("reaches-door", "reads-metrics"):
        reader.runs(f"kubectl label namespace NAME rollcall.io/{label}=true", {"NAME": BESIDE})

    assert "WRONG" not in examined


def test_all_of_it_is_taken_away(reader: Reader) -> None:
    reader.runs(f"kubectl delete -k {DEV}")

    names = [each["metadata"]["name"] for each in reader.cluster.kube.listed("namespaces")]
    assert NAMESPACE not in names


def test_production_s_secrets_are_made_and_the_cluster_would_take_its_overlay(
    reader: Reader,
) -> None:
    """Its Kafka and Postgres are elsewhere: the API server judges it, and makes nothing of it."""
    reader.runs(reader.begins("kubectl apply -f"))
    for command in [each for each in reader.commands() if " create secret generic " in each]:
        for name in re.findall(r"--from-file=[\w.-]+=(\S+)", command):
            (reader.files / name).write_text("of some length\n")
        reader.runs(command, where=reader.files)
    made = {each["metadata"]["name"] for each in reader.cluster.kube.listed("secrets")}

    said = reader.runs(PRODUCTION, {PRODUCTION: f"{PRODUCTION} --dry-run=server"})

    assert len(made) == 7
    assert "deployment.apps/rollcall-ingress created (server dry run)" in said


def test_no_command_of_the_page_was_left_out(reader: Reader) -> None:
    assert set(reader.commands()) - reader.done == set(ELSEWHERE)

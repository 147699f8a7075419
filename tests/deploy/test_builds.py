"""Every overlay, and every component on top of it, builds, and is what Kubernetes knows."""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.deploy.manifests import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    VARIANTS,
    Json,
    Manifests,
    build,
    built,
    selects,
)

KUBERNETES_VERSIONS = ("1.34", "1.37")
SCHEMAS = ROOT / "deploy" / "schemas"


def is_built_in(document: Json) -> bool:
    group = document["apiVersion"].partition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway."))


def distinct_documents() -> list[Json]:
    """Every document of every variant once: a component changes few, and each takes a while."""
    found = {
        json.dumps(document, sort_keys=True): document
        for variant in VARIANTS
        for document in built(*variant).documents
    }
    return list(found.values())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_built_in_kind_has_only_fields_that_kubernetes_knows(version: str) -> None:
    documents = [each for each in distinct_documents() if is_built_in(each)]

    assert len(documents) > 40
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    [pod, *_] = built("dev").of("Deployment")
    misspelt = {**pod, "spec": {**pod["spec"], "replica": 3}}

    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(misspelt, KUBERNETES_VERSIONS[0], strict=True)


@pytest.mark.parametrize(("overlay", "component"), VARIANTS)
def test_every_foreign_kind_is_valid_by_its_published_schema(
    overlay: str, component: str | None
) -> None:
    for document in built(overlay, component).documents:
        if not is_built_in(document):
            jsonschema.validate(document, published_schema(document))


def published_schema(document: Json) -> Json:
    """Of a custom resource, by its version and kind (deploy/schemas/README.md)."""
    name = document["apiVersion"].replace("/", "_") + "_" + document["kind"].lower()
    schema: Json = json.loads((SCHEMAS / f"{name}.json").read_text())
    return schema


@pytest.mark.parametrize(
    ("component", "kind"),
    [
        ("keda", "ScaledObject"),
        ("keda", "TriggerAuthentication"),
        ("monitoring", "PodMonitor"),
        ("monitoring", "PrometheusRule"),
        ("gateway", "HTTPRoute"),
    ],
)
def test_a_field_that_the_published_schema_does_not_know_is_found(
    component: str, kind: str
) -> None:
    [document, *_] = built("dev", component).of(kind)
    misspelt = {**document, "spec": {**document["spec"], "nobodyKnows": 3}}

    with pytest.raises(jsonschema.ValidationError, match="nobodyKnows"):
        jsonschema.validate(misspelt, published_schema(document))


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_an_overlay_by_itself_holds_built_in_kinds_only(overlay: str) -> None:
    assert all(is_built_in(each) for each in built(overlay).documents)


@pytest.mark.parametrize(("overlay", "component"), VARIANTS)
def test_all_of_it_is_in_the_one_namespace_and_no_name_is_twice(
    overlay: str, component: str | None
) -> None:
    documents = built(overlay, component).documents
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]

    assert len(names) == len(set(names))
    for each in documents:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "rollcall", each["metadata"]["name"]


DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGES = [
    {"newTag": "0.1.0"},
    {"newTag": "main"},
    {"newTag": "Feature_X.1-rc.2"},
    {"newName": "registry:5000/path/rollcall", "newTag": "main"},
    {"newName": "registry:5000/path/rollcall", "digest": DIGEST},
    {"newName": "registry:5000/path/rollcall", "newTag": "main", "digest": DIGEST},
]


def written(image: Mapping[str, str]) -> str:
    """As it stands in a pod."""
    tag = f":{image['newTag']}" if "newTag" in image else ""
    digest = f"@{image['digest']}" if "digest" in image else ""
    return f"{image.get('newName', 'rollcall')}{tag}{digest}"


def with_image(folder: Path, image: Mapping[str, str]) -> list[Json]:
    """What an overlay's copy builds with another image named where the documentation says."""
    file = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["images"] = [{"name": "rollcall", **image}]
    file.write_text(yaml.safe_dump(kustomization))
    return build(folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_image_may_have_any_name_and_each_has_a_release_of_its_own(
    overlay: str, tmp_path: Path
) -> None:
    """A Job cannot be changed: with the name of the last release's, an upgrade would be refused.

    Its pods are named by it, so the name is a label of DNS (RFC 1123).
    """
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / "overlays" / overlay
    names = []
    for image in IMAGES:
        documents = Manifests(tuple(with_image(folder, image)))
        [job] = documents.of("Job")
        names.append(job["metadata"]["name"])
        assert re.fullmatch(r"rollcall-release-[a-z0-9]{6,20}", names[-1])
        used = {each["image"] for pod in documents.our_pods() for each in pod.containers}
        assert used == {job["metadata"]["annotations"]["rollcall.io/image"]}
        assert used == {written(image)}
        for document in documents.documents:
            for value in document["metadata"].get("labels", {}).values():
                assert re.fullmatch(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", value)

    assert len(set(names)) == len(IMAGES)


@settings(max_examples=3, deadline=None)
@given(
    host=st.from_regex(r"[a-z][a-z0-9.-]{0,10}[a-z](:[1-9][0-9]{0,4})?/", fullmatch=True),
    path=st.from_regex(r"[a-z0-9]+([._/-][a-z0-9]+){0,4}", fullmatch=True),
    tag=st.from_regex(r"[\w][\w.-]{0,40}", fullmatch=True).filter(str.isascii),
)
def test_the_production_overlay_builds_whatever_the_image_is_called(
    host: str, path: str, tag: str
) -> None:
    with tempfile.TemporaryDirectory() as made:
        copied = Path(made).resolve() / "kubernetes"
        shutil.copytree(KUBERNETES, copied)
        image = {"newName": host + path, "newTag": tag}

        documents = with_image(copied / "overlays" / "production", image)

    [job] = [each for each in documents if each["kind"] == "Job"]
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == f"{host}{path}:{tag}"


def test_the_pod_with_postgres_s_tools_is_one_that_the_cluster_takes() -> None:
    """By itself, not in an overlay: somebody asks for it. It reaches Postgres by its label."""
    pod = yaml.safe_load((KUBERNETES / "postgres-client.yaml").read_text())

    for version in KUBERNETES_VERSIONS:
        kubernetes_validate.validate(pod, version, strict=True)
    [policy] = [
        each
        for each in built("production").of("NetworkPolicy")
        if each["metadata"]["name"] == "rollcall-reach-postgres"
    ]
    assert selects(policy["spec"]["podSelector"], pod["metadata"]["labels"])
    [container] = pod["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    server = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["postgres"]
    assert f"-{container['image']}}}" in server["image"]


@pytest.mark.parametrize("deployment", ["rollcall-provisioner", "rollcall-notifier"])
def test_the_drill_names_deployments_that_there_are(deployment: str) -> None:
    page = (ROOT / "docs" / "operations" / "backup.md").read_text()

    assert f" {deployment} " in page
    assert built("production").named("Deployment", deployment)["spec"]["replicas"] == 3

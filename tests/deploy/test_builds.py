"""Every overlay, and every component on top of it, builds, and is what Kubernetes knows."""

import json
import shutil
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from tests.support.manifests import KUBERNETES, OVERLAYS, ROOT, VARIANTS, Json, build, built

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
        ("gateway", "BackendTrafficPolicy"),
    ],
)
def test_a_field_that_the_published_schema_does_not_know_is_found(
    component: str, kind: str
) -> None:
    [document] = built("dev", component).of(kind)
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


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_each_release_has_a_job_of_its_own(overlay: str, tmp_path: Path) -> None:
    """A Job cannot be changed: with the name of the last release's, an upgrade would be refused."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / "overlays" / overlay
    kustomization = folder / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("newTag: 0.1.0", "newTag: 0.2.0"))

    now = {each["metadata"]["name"] for each in built(overlay).of("Job")}
    later = {each["metadata"]["name"] for each in build(folder) if each["kind"] == "Job"}

    assert now == {"rollcall-release-0-1-0"}
    assert later == {"rollcall-release-0-2-0"}


def test_the_releases_job_has_a_name_without_dots() -> None:
    """Its pods are named by it; the API warns of a dot there."""
    for overlay in OVERLAYS:
        for job in built(overlay).of("Job"):
            assert "." not in job["metadata"]["name"]

"""Dashboards and alerts: they ask for what there is, and say what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.support.deploy.manifests import KUBERNETES, ROOT, Json, build, built
from tests.support.deploy.observability import (
    DASHBOARDS,
    FOREIGN,
    RULES,
    SCRAPED,
    alerts,
    dashboard,
    expressions,
    selectors,
    series,
)
from tests.support.stack import SERVICES, Stack, until

EXPRESSIONS = list(expressions())
RUNBOOKS_URL = "https://rollcall.example.com/docs/operations/runbooks.md"
RUNBOOKS = ROOT / "docs" / "operations" / "runbooks.md"
DURATION = re.compile(r"^\d+[smh]$")


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[e[0] for e in EXPRESSIONS])
def test_an_expression_parses_and_asks_for_series_that_there_are(
    place: str, expression: str
) -> None:
    known = series() | FOREIGN
    asked = selectors(expression)

    assert asked, "it asks for nothing"
    for selector in asked:
        assert selector.name in known, selector.name
        assert selector.labels <= known[selector.name] | SCRAPED, selector


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[e[0] for e in EXPRESSIONS])
def test_an_expression_groups_by_labels_that_there_are(place: str, expression: str) -> None:
    known = series() | FOREIGN
    labels = set.union(*(known[selector.name] for selector in selectors(expression))) | SCRAPED

    grouped = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", expression)
        for label in group.split(",")
    }

    assert grouped <= labels


@pytest.mark.parametrize("wrong", ["sum(", "rate(rollcall_queued_records)", "max by (x"])
def test_an_expression_that_is_wrong_is_found(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        selectors(wrong)


def test_every_metric_is_on_a_dashboard() -> None:
    """Whoever adds one thinks of where it is looked at."""
    shown = {
        selector.name
        for place, expression in EXPRESSIONS
        if ": " in place
        for selector in selectors(expression)
    }
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series()}

    assert families - {re.sub(r"_bucket$", "", name) for name in shown} == set()


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(rule: Json) -> None:
    url, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["alert"].startswith("Rollcall")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert DURATION.match(rule.get("for", "0s"))
    assert url == RUNBOOKS_URL
    assert f"\n## {anchor}\n" in RUNBOOKS.read_text()
    assert f"`{rule['alert']}`" in RUNBOOKS.read_text() or anchor not in PAGES_OF_ALERTS


PAGES_OF_ALERTS = {
    page.split("\n", 1)[0]
    for page in RUNBOOKS.read_text().split("\n## ")[1:]
    if "Rollcall" in page.split("**Means**", 1)[0]
}
"""Pages that say which alerts lead to them; the others are led to by log lines as well."""


def test_one_line_says_where_the_pages_of_all_alerts_are(tmp_path: Path) -> None:
    """Of a cluster's deployment; the command of the page does the same to the file."""
    copied = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, copied)
    line = copied / "components" / "monitoring" / "runbooks.yaml"
    assert line.read_text().count(RUNBOOKS_URL) == 1
    ours = "https://wiki.acme.example/rollcall/operations/runbooks.md"
    line.write_text(line.read_text().replace(RUNBOOKS_URL, ours))
    file = copied / "overlays" / "production" / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["components"].append("../../components/monitoring")
    file.write_text(yaml.safe_dump(kustomization))
    page = (ROOT / "docs" / "operations" / "dashboards.md").read_text()
    [command] = re.findall(r"`(sed -i [^`]+ rules\.yaml)`", page)
    shutil.copy(RULES, tmp_path)

    made = build(file.parent)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)

    [cluster] = [each["spec"] for each in made if each["kind"] == "PrometheusRule"]
    assert not [each for each in made if each["metadata"]["name"] == "rollcall-runbooks"]
    for document in (cluster, yaml.safe_load((tmp_path / "rules.yaml").read_text())):
        urls = [rule["annotations"]["runbook_url"] for rule in document["groups"][0]["rules"]]
        assert len(urls) == len(alerts())
        assert {url.partition("#")[0] for url in urls} == {ours}
        assert [url.partition("#")[2] for url in urls] == [
            rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts()
        ]


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in alerts()]

    assert len(names) == len(set(names))
    assert RULES.read_text().count("- alert:") == len(names)


def test_no_alert_is_about_one_organisation() -> None:
    """No series has an organisation as a label, so no page of ours may ask for one."""
    assert not [place for place, expression in EXPRESSIONS if "organisation" in expression]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported_as_it_is(path: object) -> None:
    [found] = [dashboard(each) for each in DASHBOARDS if each == path]
    ids = [panel["id"] for panel in found["panels"]]
    names = {variable["name"] for variable in found["templating"]["list"]}

    assert found["uid"].startswith("rollcall-")
    assert len(set(ids)) == len(ids)
    assert names == {"datasource", "namespace"}
    for panel in found["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {"namespace", "__rate_interval"}
            used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            asked = selectors(target["expr"].replace("$__rate_interval", "5m"))
            assert used <= set.union(*(series()[each.name] for each in asked)) | SCRAPED


def test_dashboards_do_not_lie_on_one_another() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard(path)["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not taken & cells, (path.stem, panel["title"])
            taken |= cells


def test_the_alert_on_absent_services_asks_by_the_label_that_the_scrape_gives() -> None:
    [monitor] = built("production", "monitoring").of("PodMonitor")
    labels = {
        label.replace(".", "_").replace("/", "_") for label in monitor["spec"]["podTargetLabels"]
    }

    assert FOREIGN["up"] == labels


def test_the_cluster_s_alerts_are_those_of_the_rules() -> None:
    [rule] = built("production", "monitoring").of("PrometheusRule")

    assert rule["spec"] == yaml.safe_load(RULES.read_text())


@pytest.mark.timeout(180)
async def test_what_dashboards_ask_for_is_given_out_by_running_services(
    whole_stack: Stack,
) -> None:
    """Every series that the code declares is on an admin port of a stack that has done a little."""
    organisation = await whole_stack.organisation()
    async with whole_stack.client(organisation) as client:
        assert (await client.create_user("ana@acme.example")).status == 201

    console = await whole_stack.start("console")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{console.door_port}/sign-in") as page,
    ):
        assert page.status == 200
    services = (*SERVICES, "console")
    foreign: list[str] = []

    async def given() -> set[str]:
        names: set[str] = set()
        async with aiohttp.ClientSession() as session:
            for service in services:
                [process] = whole_stack.running(service)
                url = f"http://127.0.0.1:{process.admin_port}/metrics"
                async with session.get(url) as answer:
                    own = set(re.findall(r"^(rollcall_\w+)", await answer.text(), re.MULTILINE))
                others = tuple(f"rollcall_{each}_" for each in services if each != service)
                foreign.extend(name for name in own if name.startswith(others))
                names |= own
        return names

    # Labelled series begin with their first event; these ones need an outage or a mistake.
    rare = {
        "rollcall_console_sign_ins_total",
        "rollcall_ingress_refusals_total",
        "rollcall_ingress_breakers_opened_total",
        "rollcall_ingress_repairs_total",
        "rollcall_halted_partitions",
        "rollcall_provisioner_cut_off_total",
        "rollcall_provisioner_replies_unsent_total",
    }

    missing = set(series()) - rare

    async def all_there() -> bool:
        missing.difference_update(await given())
        return not missing

    await until(all_there, "every series is given out", 60.0, lambda: ", ".join(missing))
    assert foreign == [], "a service gives out what another one counts"

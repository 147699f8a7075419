"""What a broker is told about its login, and where the password does not stand."""

import re

import pytest

from rollcall.kafka.client import client_options
from rollcall.runtime.config import Settings, load
from rollcall_local.stack.kafka import docker as kafka_docker
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka import settings as kafka_settings
from rollcall_local.stack.kafka.login import Login, plain_for_once
from rollcall_local.stack.kafka.settings import BrokerSettings
from tests.support.deploy.manifests import ROOT

PASSWORD = "of-this-stack_0123456789"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_no_listener_is_open(mechanism: str) -> None:
    login = Login.of("native" if mechanism != "PLAIN" else "docker", PASSWORD)
    assert login is not None

    found = kafka_settings.server_properties(BrokerSettings(ROOT, 1, 2, login=login))

    protocols = dict(each.split(":") for each in found["listener.security.protocol.map"].split(","))
    assert set(protocols.values()) == {"SASL_PLAINTEXT"}
    assert {each.split(":")[0] for each in found["listeners"].split(",")} == set(protocols)
    assert found["sasl.enabled.mechanisms"] == mechanism == login.mechanism


def test_a_broker_without_a_login_is_what_it_was() -> None:
    found = kafka_settings.server_properties(BrokerSettings(ROOT, 1, 2))

    assert "sasl" not in " ".join(found)
    assert found["listener.security.protocol.map"] == "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"


def test_scram_names_no_other_login_and_the_controller_has_its_own_password() -> None:
    def once() -> dict[str, str]:
        return kafka_settings.server_properties(BrokerSettings(ROOT, 1, 2, login=Login(PASSWORD)))

    own = "listener.name.client.scram-sha-512.sasl.jaas.config"
    between = "listener.name.controller.plain.sasl.jaas.config"

    first, second = once(), once()

    assert first[own] == second[own]
    assert "user_" not in first[own]
    assert first[between] != second[between]
    assert PASSWORD not in first[between]


def test_our_clients_get_what_the_broker_asks_for() -> None:
    login = Login(PASSWORD)

    options = client_options(load(Settings, kafka_bootstrap="127.0.0.1:1", **login.settings()))

    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == (
        login.user,
        PASSWORD,
    )


def test_a_kafka_that_is_not_ours_has_no_login_of_ours() -> None:
    assert Login.of("external", PASSWORD) is None
    assert Login.of("native", None) is None


def test_docker_s_command_line_holds_no_password() -> None:
    login = Login.of("docker", PASSWORD)
    variables = kafka_docker.environment(9092, login)

    words = kafka_docker.arguments("name", 9092, variables)

    assert not any(PASSWORD in word for word in words)
    assert set(variables) <= set(words)
    assert PASSWORD in variables["KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG"]
    assert all(re.fullmatch("[A-Z_]+", name) for name in variables)
    assert words[words.index("--cap-drop") :][:2] == ["--cap-drop", "ALL"]


def test_the_image_is_named_by_a_digest() -> None:
    assert re.fullmatch(r"apache/kafka:[0-9.]+@sha256:[0-9a-f]{64}", kafka_docker.IMAGE)


def test_a_login_for_once_is_another_each_time() -> None:
    assert plain_for_once() != plain_for_once()


@pytest.mark.parametrize("word", ["a", "a b", 'a"b', "a\\b", "@a", "#a"])
def test_a_word_of_java_s_file_is_quoted(word: str) -> None:
    quoted = kafka_native._quoted(word)

    assert quoted[0] == quoted[-1] == '"'
    assert re.sub(r"\\(.)", r"\1", quoted[1:-1]) == word

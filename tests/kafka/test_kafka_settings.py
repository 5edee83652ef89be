from __future__ import annotations

import pytest
from confluent_kafka import Producer

from orchestrator.errors import ConfigurationError
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.settings import Secret, load

AWAY = "kafka-1.example:9093,kafka-2.example:9093"
SCRAM = {
    "security_protocol": "sasl_ssl",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "worker",
    "sasl_password": Secret("hunter2"),
}


def test_this_machine_may_be_plain():
    for servers in ("localhost:9092", "127.0.0.1:1,127.8.8.8:2", "[::1]:9092"):
        settings = KafkaSettings(bootstrap_servers=servers)
        assert settings.to_librdkafka()["security.protocol"] == "plaintext"


@pytest.mark.parametrize(
    ("servers", "options", "word"),
    [
        (AWAY, {}, "security_protocol is not set"),
        ("localhost:1,kafka-1.example:2", {}, "security_protocol is not set"),
        (AWAY, {"security_protocol": "plaintext"}, "allow_plaintext"),
        (AWAY, {**SCRAM, "security_protocol": "sasl_plaintext"}, "allow_plaintext"),
        (AWAY, {"security_protocol": "sasl_ssl"}, "sasl_mechanism"),
        (AWAY, {**SCRAM, "security_protocol": "ssl"}, "sasl_mechanism"),
        (AWAY, {**SCRAM, "sasl_password": Secret("")}, "sasl_password is not set"),
        (AWAY, {**SCRAM, "sasl_mechanism": "GSSAPI"}, "GSSAPI"),
        (AWAY, {**SCRAM, "sasl_mechanism": "OAUTHBEARER"}, "oauth_token_url"),
        (AWAY, {"security_protocol": "ssl", "ssl_key_file": "k"}, "go together"),
        (AWAY, {"security_protocol": "sssl"}, "sssl"),
        (
            "localhost:1",
            {**SCRAM, "sasl_mechanism": "PLAIN", "security_protocol": "sasl_plaintext"},
            "PLAIN",
        ),
        ("localhost:1", {"librdkafka": {"debug": "all"}}, "debug"),
        ("localhost:1", {"librdkafka": {"enable.idempotence": "false"}}, "idempotence"),
        ("localhost:1", {"ssl_certificate_file": "c", "ssl_key_file": "k"}, "unused"),
        ("", {}, "bootstrap_servers"),
        ("localhost", {}, "bootstrap_servers"),
        ("localhost:0", {}, "bootstrap_servers"),
        ("http://localhost:1", {}, "bootstrap_servers"),
    ],
)
def test_what_is_not_safe_is_refused(servers, options, word):
    with pytest.raises(ConfigurationError, match=word) as caught:
        KafkaSettings(bootstrap_servers=servers, **options)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SCRAM, {"sasl.mechanism": "SCRAM-SHA-512", "sasl.password": "hunter2"}),
        ({"security_protocol": "ssl"}, {"enable.ssl.certificate.verification": True}),
        ({"security_protocol": "ssl"}, {"ssl.endpoint.identification.algorithm": "https"}),
        (
            {"security_protocol": "ssl", "insecure_skip_verify": True},
            {"ssl.endpoint.identification.algorithm": "none"},
        ),
        (
            {
                "security_protocol": "sasl_ssl",
                "sasl_mechanism": "OAUTHBEARER",
                "oauth_token_url": "https://id.example/token",
                "oauth_client_id": "saga",
                "oauth_client_secret": Secret("hunter2"),
            },
            {"sasl.oauthbearer.client.secret": "hunter2", "sasl.oauthbearer.method": "oidc"},
        ),
        ({"security_protocol": "plaintext", "allow_plaintext": True}, {}),
        ({**SCRAM, "librdkafka": {"client.rack": "b"}}, {"client.rack": "b"}),
    ],
)
def test_what_is_safe_is_told_to_the_library_and_masked_elsewhere(options, expected):
    settings = KafkaSettings(bootstrap_servers=AWAY, **options)
    config = settings.to_librdkafka()

    assert expected.items() <= config.items()
    assert config["allow.auto.create.topics"] is False
    assert "hunter2" not in repr(settings)
    Producer(config | {"log_level": 0})


def test_passing_through_cannot_overrule_ours():
    with pytest.raises(ConfigurationError):
        KafkaSettings(
            bootstrap_servers=AWAY, librdkafka={"security.protocol": "plaintext"}, **SCRAM
        )


def test_everything_can_come_from_the_environment():
    settings = load(
        KafkaSettings,
        env={
            "SAGA_BOOTSTRAP_SERVERS": AWAY,
            "SAGA_SECURITY_PROTOCOL": "sasl_ssl",
            "SAGA_SASL_MECHANISM": "SCRAM-SHA-512",
            "SAGA_SASL_USERNAME": "worker",
            "SAGA_SASL_PASSWORD": "hunter2",
            "SAGA_LIBRDKAFKA": "client.rack=a",
        },
    )

    assert settings.sasl_password == Secret("hunter2")
    assert settings.librdkafka == {"client.rack": "a"}

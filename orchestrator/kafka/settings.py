"""How to reach a Kafka cluster, safely by default, and what the client library is told of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.errors import ConfigurationError
from orchestrator.settings import Secret

PROTOCOLS = ("", "plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("", "SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN")

_NO_SECRET = Secret("")

PASSED_THROUGH = frozenset(
    {
        "broker.address.family",
        "broker.address.ttl",
        "client.dns.lookup",
        "client.rack",
        "connections.max.idle.ms",
        "log_level",
        "metadata.max.age.ms",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "ssl.cipher.suites",
        "ssl.crl.location",
        "ssl.curves.list",
        "ssl.sigalgs.list",
        "topic.metadata.refresh.interval.ms",
    }
)
"""Settings of librdkafka that cannot break a guarantee. Everything else is ours to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Connection to a cluster. `repr` never shows a secret."""

    bootstrap_servers: str
    """Brokers to ask first, `host:port` with commas between. No default."""
    security_protocol: str = field(default="", metadata={"choices": PROTOCOLS})
    """How to talk to brokers. Default empty: `plaintext` to brokers of this machine; anything else
    must be chosen, since the client library would silently send everything in the clear."""
    allow_plaintext: bool = False
    """Whether unencrypted connections may leave this machine. Default false; true only on a network
    that is encrypted below (a service mesh, WireGuard)."""
    sasl_mechanism: str = field(default="", metadata={"choices": MECHANISMS})
    """How to log in. Default empty: none, or the client certificate. PLAIN sends the password as it
    is, so it needs `sasl_ssl`."""
    sasl_username: str = ""
    """User name for SCRAM and PLAIN. Default empty. One user for each role: see `docs/topics.md`."""
    sasl_password: Secret = _NO_SECRET
    """Password for SCRAM and PLAIN. Default empty. Set it by `SAGA_SASL_PASSWORD_FILE`."""
    oauth_token_url: str = ""
    """Token endpoint of the identity provider (OIDC) for OAUTHBEARER, `https://...`. Default empty."""
    oauth_client_id: str = ""
    """Client id for OAUTHBEARER. Default empty."""
    oauth_client_secret: Secret = _NO_SECRET
    """Client secret for OAUTHBEARER. Default empty. Set it by `SAGA_OAUTH_CLIENT_SECRET_FILE`."""
    oauth_scope: str = ""
    """Scope asked for with OAUTHBEARER. Default empty: the provider's default."""
    ssl_ca_file: str = ""
    """PEM file of the authorities that sign the brokers' certificates. Default empty: the system's."""
    ssl_certificate_file: str = ""
    """PEM file of our certificate, for brokers that ask for one. Default empty: none."""
    ssl_key_file: str = ""
    """PEM file of our certificate's key. Default empty: none."""
    ssl_key_password: Secret = _NO_SECRET
    """Password of `ssl_key_file`. Default empty. Set it by `SAGA_SSL_KEY_PASSWORD_FILE`."""
    insecure_skip_verify: bool = False
    """Whether to trust any broker certificate. Default false; true leaves the connection open to
    anybody in between and is for experiments only."""
    message_bytes_max: int = field(
        default=1_048_576, metadata={"min": 16_384, "max": 64 * 1024 * 1024}
    )
    """Bytes of the largest record batch sent or fetched. Default 1 MiB, as brokers have it; fetch
    buffers (50 to 100 MB by default) are sized from it."""
    socket_timeout_ms: int = field(default=10_000, metadata={"min": 1_000, "max": 30_000})
    """Longest wait for a broker's answer, in ms. Default 10,000, not the usual 60,000: a stuck end
    of a transaction must show as slowness, as early as that."""
    check_crcs: bool = True
    """Whether fetched records are checked against their checksum. Default true: bit rot on the way
    would otherwise go unseen, and the check costs less than 0.1 us a record."""
    librdkafka: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the client library, by its own names. Default none. Only those that cannot
    break a guarantee are let through: network, DNS, rack, ciphers, log level."""

    def __post_init__(self) -> None:
        hosts = _hosts(self.bootstrap_servers)
        on_this_machine = all(_is_loopback(host) for host in hosts)
        if not self.security_protocol:
            if not on_this_machine:
                raise ConfigurationError(
                    f"security_protocol is not set, and {self.bootstrap_servers} is not on this"
                    " machine: choose ssl or sasl_ssl"
                )
            object.__setattr__(self, "security_protocol", "plaintext")
        if not self._encrypted and not (on_this_machine or self.allow_plaintext):
            raise ConfigurationError(
                f"security_protocol={self.security_protocol!r}: would send everything unencrypted to"
                f" {self.bootstrap_servers}; choose ssl or sasl_ssl, or set allow_plaintext=true"
            )
        self._check_login()
        self._check_certificates()
        for name in self.librdkafka:
            if name not in PASSED_THROUGH:
                raise ConfigurationError(
                    f"librdkafka: {name} is not let through; allowed are"
                    f" {', '.join(sorted(PASSED_THROUGH))}"
                )

    def to_librdkafka(self) -> dict[str, str | int | bool]:
        """Settings for any client of this cluster, secrets in the clear. Never log the result."""
        config: dict[str, str | int | bool] = {
            # Half of it is how long a client that has just begun may not connect again: between
            # its first answer, which names the brokers, and the first connection to one of them.
            "reconnect.backoff.ms": 20,
            **self.librdkafka,
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "socket.timeout.ms": self.socket_timeout_ms,
            "message.max.bytes": self.message_bytes_max,
            "allow.auto.create.topics": False,
            "enable.metrics.push": False,
        }
        if self._encrypted:
            config |= self._ssl()
        if self._logs_in:
            config |= self._sasl()
        return config

    @property
    def _encrypted(self) -> bool:
        return self.security_protocol in ("ssl", "sasl_ssl")

    @property
    def _logs_in(self) -> bool:
        return self.security_protocol in ("sasl_plaintext", "sasl_ssl")

    def _check_login(self) -> None:
        mechanism = self.sasl_mechanism
        if mechanism not in MECHANISMS:
            raise ConfigurationError(f"sasl_mechanism={mechanism!r}: must be one of {MECHANISMS}")
        if self._logs_in != bool(mechanism):
            raise ConfigurationError(
                f"sasl_mechanism={mechanism!r} does not go with"
                f" security_protocol={self.security_protocol!r}: a mechanism needs sasl_ssl, and"
                " sasl_ssl needs a mechanism"
            )
        if mechanism == "PLAIN" and not self._encrypted:
            raise ConfigurationError(
                "sasl_mechanism='PLAIN': would send the password in the clear; use sasl_ssl or SCRAM"
            )
        needed = {
            "": (),
            "OAUTHBEARER": ("oauth_token_url", "oauth_client_id", "oauth_client_secret"),
        }.get(mechanism, ("sasl_username", "sasl_password"))
        for name in needed:
            if not getattr(self, name):
                raise ConfigurationError(
                    f"{name} is not set: sasl_mechanism={mechanism!r} needs it"
                )

    def _check_certificates(self) -> None:
        if bool(self.ssl_certificate_file) != bool(self.ssl_key_file):
            raise ConfigurationError("ssl_certificate_file and ssl_key_file go together: set both")
        if self.ssl_certificate_file and not self._encrypted:
            raise ConfigurationError(
                f"ssl_certificate_file: unused with security_protocol={self.security_protocol!r}"
            )

    def _ssl(self) -> dict[str, str | int | bool]:
        files = {
            "ssl.ca.location": self.ssl_ca_file,
            "ssl.certificate.location": self.ssl_certificate_file,
            "ssl.key.location": self.ssl_key_file,
            "ssl.key.password": self.ssl_key_password.reveal(),
        }
        return {
            **{name: value for name, value in files.items() if value},
            "enable.ssl.certificate.verification": not self.insecure_skip_verify,
            "ssl.endpoint.identification.algorithm": (
                "none" if self.insecure_skip_verify else "https"
            ),
        }

    def _sasl(self) -> dict[str, str | int | bool]:
        if self.sasl_mechanism == "OAUTHBEARER":
            config: dict[str, str | int | bool] = {
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.oauth_token_url,
                "sasl.oauthbearer.client.id": self.oauth_client_id,
                "sasl.oauthbearer.client.secret": self.oauth_client_secret.reveal(),
            }
            return config | (
                {"sasl.oauthbearer.scope": self.oauth_scope} if self.oauth_scope else {}
            )
        return {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password.reveal(),
        }


def _hosts(servers: str) -> list[str]:
    """The hosts of a `host:port,...` list. Raises ConfigurationError if it is none."""
    hosts = []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536 or "/" in host:
            raise ConfigurationError(
                f"bootstrap_servers={servers!r}: must be host:port with commas between"
            )
        hosts.append(host.strip("[]"))
    return hosts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

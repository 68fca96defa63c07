"""The identity server's configuration: a TOML file, decoded into frozen values."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Refused
from wimse.issuer import IssuerSettings, Registration, Registrations
from wimse.issuer.registration import LIFETIMES, check_registration
from wimse.workload_api.address import DEFAULT_SOCKET, EndpointAddress, check_socket_path
from wimse.workload_api.config_federation import BundleEndpointConfig, FederationConfig
from wimse.workload_api.config_limits import LimitsConfig
from wimse.workload_api.config_lines import line_of
from wimse.workload_api.config_sections import EncryptionConfig, KeysConfig, StoreConfig, UpstreamConfig
from wimse.workload_api.entry_spec import EntryConfig, entry_problems
from wimse.workload_api.monitoring import parse_listen_address
from wimse.workload_api.settings import ServerSettings
from wimse.workload_api.toml_documents import decode_toml, read_bounded

__all__ = ["EntryConfig", "Problem", "ServerConfig", "check_config", "load_config"]

MAX_CONFIG_BYTES: Final = 4_194_304


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an identity server is told.

    Attributes:
        trust_domain: the name, without a scheme. Default ``example.com``, as minispire's.
        scheme: of the WITs' subjects. Default ``spiffe``.
        socket: ``unix:///path``, or an absolute path. Default ``unix:///tmp/spire.sock``.
        socket_mode: permission bits of the socket. Default 0o666.
        wit_lifetime_seconds: default 300.
        jwt_svid_lifetime_seconds: default 300.
        x509_svid_lifetime_seconds: default 3600.
        default_identities: whether callers without an entry have an identity, by their executable, group, process
            and user. It is for development: true by default without a store, and false with one.
        development: whether what is for development only is permitted beside a store. Default false.
        store: where signing keys and entries are kept. Without one, keys are new at each start and in memory only.
        encryption: of the signing keys in the store; a store needs it.
        keys: how signing keys in the store are replaced.
        limits: what callers may take of the server.
        upstream: a CA above ours; it needs a store. None for a self-signed one.
        bundle_endpoint: where our bundle is published; None for nowhere.
        federation: where the bundles of other trust domains are fetched, by their names.
        entries: in order of preference.
        admin_socket: absolute path of the socket over which the entries of the store are managed, such as
            ``/run/wimse/admin.sock``; empty, the default, for none.
        entries_file: absolute path of a file of entries that the store is to have, which is watched; empty, the
            default, for none.
        profiles: which of ``x509``, ``jwt`` and ``wit`` are served. Default all of them.
        mint_wit_svid: whether the call of the Go proof of concept is answered. Default false.
        audit_log: path of the file for issues and refusals; empty, the default, for none.
        audit_required: whether nothing is issued that cannot be recorded. Default false.
        monitoring: loopback address for ``/live``, ``/ready`` and ``/metrics``, such as ``127.0.0.1:9464``; empty,
            the default, for none.
    """

    trust_domain: str = "example.com"
    scheme: Literal["spiffe", "wimse"] = "spiffe"
    socket: str = DEFAULT_SOCKET
    socket_mode: int = 0o666
    wit_lifetime_seconds: int = 300
    jwt_svid_lifetime_seconds: int = 300
    x509_svid_lifetime_seconds: int = 3600
    default_identities: bool | None = None
    development: bool = False
    store: StoreConfig | None = None
    encryption: EncryptionConfig | None = None
    keys: KeysConfig = KeysConfig()
    limits: LimitsConfig = LimitsConfig()
    upstream: UpstreamConfig | None = None
    bundle_endpoint: BundleEndpointConfig | None = None
    federation: dict[str, FederationConfig] = {}
    entries: tuple[EntryConfig, ...] = ()
    admin_socket: str = ""
    entries_file: str = ""
    profiles: tuple[Literal["x509", "jwt", "wit"], ...] = ("x509", "jwt", "wit")
    mint_wit_svid: bool = False
    audit_log: str = ""
    audit_required: bool = False
    monitoring: str = ""

    def check(self) -> None:
        """Build everything once, to find what is wrong before anything is started.

        Raises:
            ConfigurationError: for the first value that is not acceptable.
        """
        for _, detail in self.problems():
            raise ConfigurationError(detail)

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Everything that is not acceptable: where, as keys and places in lists, and why."""
        checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("trust_domain", self._check_trust_domain),
            ("socket", self.socket_path),
            ("socket_mode", functools.partial(LimitsConfig().settings, self.socket_mode)),
            *((f"{name}_seconds", functools.partial(self._check_lifetime, name)) for name in LIFETIMES),
            ("profiles", self._check_profiles),
            ("audit_log", self._check_audit),
            ("monitoring", self.monitoring_address),
            ("default_identities", self._check_default_identities),
            ("store", self._check_store),
            ("encryption", self._check_encryption),
            ("upstream", self._check_upstream),
            ("admin_socket", self._check_admin_socket),
            ("entries_file", self._check_entries_file),
            ("bundle_endpoint", self._check_bundle_endpoint),
        )
        for key, check in checks:
            try:
                check()
            except ConfigurationError as error:
                yield (key,), error.detail
        yield from ((("keys", name), detail) for name, detail in self.keys.problems())
        yield from ((("limits", name), detail) for name, detail in self.limits.problems())
        for name, each in self.federation.items():
            try:
                each.check(name, self.trust_domain)
            except ConfigurationError as error:
                yield ("federation", name), error.detail
        yield from self._entry_problems()

    def _entry_problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        try:
            domain, settings = TrustDomain(self.scheme, self.trust_domain), self.issuer_settings()
        except (Refused, ConfigurationError):  # that is said elsewhere, and nothing can be judged by it
            return
        wrong = list(entry_problems(self.entries, domain, templates=False))
        yield from ((("entries", place), why) for place, why in wrong)
        sound: list[Registration] = []
        for place in sorted(set(range(len(self.entries))) - {each for each, _ in wrong}):
            record = self.entries[place].registration(domain)
            try:
                check_registration(record, (), settings, self.trust_domain)
            except ConfigurationError as error:
                yield ("entries", place), error.detail
            sound.append(record)
        try:
            Registrations(each.entry for each in sound)
        except ConfigurationError as error:
            yield ("entries",), error.detail

    def _check_trust_domain(self) -> None:
        try:
            TrustDomain(self.scheme, self.trust_domain)
        except Refused as refused:
            raise ConfigurationError(f"trust_domain: {refused.detail}") from None

    def _check_lifetime(self, name: str) -> None:
        try:
            IssuerSettings(**{name: timedelta(seconds=getattr(self, f"{name}_seconds"))})
        except OverflowError:
            raise ConfigurationError("a lifetime is too long") from None

    def _check_profiles(self) -> None:
        if not self.profiles:
            raise ConfigurationError("profiles: at least one of x509, jwt, wit")

    def _check_audit(self) -> None:
        if self.audit_log and not self.audit_log.startswith("/"):
            raise ConfigurationError("audit_log is an absolute path")
        if self.audit_required and not self.audit_log:
            raise ConfigurationError("audit_required needs an audit_log")

    def _check_default_identities(self) -> None:
        if self.default_identities and self.store is not None and not self.development:
            raise ConfigurationError(
                "default_identities are for development: register entries, or say development = true as well"
            )

    def _check_store(self) -> None:
        if self.store is None:
            return
        self.store.check()
        if self.encryption is None:
            raise ConfigurationError(
                "a store needs [encryption]: file = the path of a key that openssl rand -hex 32 has made; or, with "
                "development = true, plaintext = true"
            )

    def _check_encryption(self) -> None:
        if self.encryption is None:
            return
        if self.store is None:
            raise ConfigurationError("encryption is of what is in a store, and there is no [store]")
        if self.encryption.plaintext and not self.development:
            raise ConfigurationError("encryption.plaintext is for development: it needs development = true")
        self.encryption.check()

    def _check_upstream(self) -> None:
        if self.upstream is None:
            return
        if self.store is None:
            raise ConfigurationError("upstream needs a [store]: without one the CA is self-signed, and new each time")
        self.upstream.check()

    def _check_admin_socket(self) -> None:
        if not self.admin_socket:
            return
        if self.store is None:
            raise ConfigurationError("admin_socket is for the entries of a store, and there is no [store]")
        check_socket_path(self.admin_socket)
        if self.admin_socket == self.socket_path():
            raise ConfigurationError("admin_socket must not be the socket that workloads use")

    def _check_entries_file(self) -> None:
        if self.entries_file and self.store is None:
            raise ConfigurationError("entries_file is for the entries of a store, and there is no [store]")
        if "\0" in self.entries_file or self.entries_file[:1] not in ("", "/"):
            raise ConfigurationError("entries_file must be an absolute path")

    def _check_bundle_endpoint(self) -> None:
        if self.bundle_endpoint is None:
            return
        self.bundle_endpoint.check()
        try:
            paths = {each.path for each in self.own_entries()}
        except (Refused, ConfigurationError):  # that is said elsewhere
            return
        if self.bundle_endpoint.identity in paths:
            raise ConfigurationError("bundle_endpoint.identity is that of the server, and of no entry")

    def monitoring_address(self) -> tuple[str, int] | None:
        """Where to answer those who watch.

        Raises:
            ConfigurationError: when it is no loopback address with a port.
        """
        return parse_listen_address(self.monitoring) if self.monitoring else None

    def socket_path(self) -> str:
        """The absolute path of the socket.

        Raises:
            ConfigurationError: when it is no Unix socket; a server does not listen on TCP (Endpoint §3).
        """
        text = self.socket if self.socket.startswith(("unix:", "tcp:")) else f"unix://{self.socket}"
        path = EndpointAddress.parse(text).path
        if path is None:
            raise ConfigurationError("the identity server listens on a Unix socket only, not on TCP")
        return path

    def server_settings(self) -> ServerSettings:
        """The limits.

        Raises:
            ConfigurationError: for a mode that is none, or a limit that is out of bounds.
        """
        return self.limits.settings(self.socket_mode)

    def issuer_settings(self) -> IssuerSettings:
        """The lifetimes.

        Raises:
            ConfigurationError: for one that is out of bounds.
        """
        try:
            return IssuerSettings(
                wit_lifetime=timedelta(seconds=self.wit_lifetime_seconds),
                jwt_svid_lifetime=timedelta(seconds=self.jwt_svid_lifetime_seconds),
                x509_svid_lifetime=timedelta(seconds=self.x509_svid_lifetime_seconds),
            )
        except OverflowError:
            raise ConfigurationError("a lifetime is too long") from None

    def own_entries(self) -> tuple[Registration, ...]:
        """The entries of the file, those of a store left out.

        Raises:
            ConfigurationError: for an entry that is not acceptable.
        """
        domain = TrustDomain(self.scheme, self.trust_domain)
        return tuple(each.registration(domain) for each in self.entries)

    @property
    def gives_default_identities(self) -> bool:
        """Whether callers without an entry have an identity."""
        return self.store is None if self.default_identities is None else self.default_identities


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a configuration file that is not acceptable.

    Attributes:
        line: where, from 1; 0 where no line is to blame.
        detail: why, in one sentence.
    """

    line: int
    detail: str


def load_config(path: str | os.PathLike[str]) -> ServerConfig:
    """Read and check a configuration file.

    Raises:
        ConfigurationError: when it cannot be read, is larger than 4 MiB or no TOML, has an unknown member or one of
            the wrong type (the message names it), or a value that is not acceptable; when everybody may write to it.
    """
    config, problems = _read(path)
    if problems or config is None:
        where = f", line {problems[0].line}" if problems[0].line else ""
        raise ConfigurationError(f"{os.fspath(path)}{where}: {problems[0].detail}")
    return config


def check_config(path: str | os.PathLike[str]) -> tuple[Problem, ...]:
    """Everything that is wrong with a configuration file; empty when nothing is.

    Raises:
        ConfigurationError: when it cannot be read.
    """
    return tuple(_read(path)[1])


def _read(path: str | os.PathLike[str]) -> tuple[ServerConfig | None, list[Problem]]:
    data, status = read_bounded(Path(path), MAX_CONFIG_BYTES)
    config, text, problems = decode_toml(data, ServerConfig)
    found = [Problem(line, detail) for line, detail in problems]
    if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH:  # it says who gets which identity
        found.append(Problem(0, f"everybody may write to it: chmod o-w {os.fspath(path)}"))
    if config is not None:
        found += [Problem(line_of(text, key), detail) for key, detail in config.problems()]
    return config, found

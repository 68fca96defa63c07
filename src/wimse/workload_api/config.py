"""The identity server's configuration: a TOML file, decoded into frozen values."""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Refused
from wimse.issuer import Entry, IssuerSettings, Registrations, Selector
from wimse.workload_api.address import DEFAULT_SOCKET, EndpointAddress
from wimse.workload_api.settings import ServerSettings

__all__ = ["EntryConfig", "ServerConfig", "load_config"]

MAX_CONFIG_BYTES: Final = 4_194_304


class EntryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[entries]]``: an identity and the callers that have it.

    Attributes:
        path: of the identity, such as ``/payments``.
        selectors: all of them must match, such as ``unix:uid:1000`` and ``unix:path:/usr/bin/payments``.
        hint: what the identity is for, where a caller has several.
    """

    path: str
    selectors: tuple[str, ...]
    hint: str = ""


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
            and user. Default true, which is for development.
        entries: in order of preference.
    """

    trust_domain: str = "example.com"
    scheme: Literal["spiffe", "wimse"] = "spiffe"
    socket: str = DEFAULT_SOCKET
    socket_mode: int = 0o666
    wit_lifetime_seconds: int = 300
    jwt_svid_lifetime_seconds: int = 300
    x509_svid_lifetime_seconds: int = 3600
    default_identities: bool = True
    entries: tuple[EntryConfig, ...] = ()

    def check(self) -> None:
        """Build everything once, to find what is wrong before anything is started.

        Raises:
            ConfigurationError: for the first value that is not acceptable.
        """
        try:
            TrustDomain(self.scheme, self.trust_domain)
        except Refused as refused:
            raise ConfigurationError(f"trust_domain: {refused.detail}") from None
        self.socket_path()
        self.server_settings()
        self.issuer_settings()
        self.registrations()

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
            ConfigurationError: for a mode that is none.
        """
        return ServerSettings(socket_mode=self.socket_mode)

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

    def registrations(self) -> Registrations:
        """The entries.

        Raises:
            ConfigurationError: for an entry that is not acceptable.
        """
        entries = [
            Entry(each.path, tuple(Selector.parse(text) for text in each.selectors), each.hint) for each in self.entries
        ]
        return Registrations(entries, default_identities=self.default_identities)


def load_config(path: str | os.PathLike[str]) -> ServerConfig:
    """Read and check a configuration file.

    Raises:
        ConfigurationError: when it cannot be read, is larger than 4 MiB or no TOML, has an unknown member or one of
            the wrong type (the message names it), or a value that is not acceptable.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    except ValueError:  # a NUL
        raise ConfigurationError("the name of the configuration is not one that a file can have") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigurationError(f"{os.fspath(path)} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        config = msgspec.convert(tomllib.loads(data.decode("utf-8")), ServerConfig)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{os.fspath(path)}: {error}") from None
    config.check()
    return config

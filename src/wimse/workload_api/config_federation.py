"""Sections of the identity server's configuration for other trust domains: our bundle endpoint, and theirs."""

from __future__ import annotations

from typing import Literal

import msgspec

from wimse.credentials import TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError, Refused

__all__ = ["BundleEndpointConfig", "FederationConfig"]


class BundleEndpointConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[bundle_endpoint]``: where our bundle is published. With certificate files it is https_web, else https_spiffe.

    Attributes:
        address: an IP address of this machine. Default 127.0.0.1.
        port: default 8443.
        certificate: absolute path of the certificate chain, PEM.
        key: absolute path of its private key, PEM.
        identity: path of the server's own identity, for https_spiffe. Default ``/wimse/bundle-endpoint``.
        path: of the bundle. Default ``/``.
        jwks_path: of the keys of JWT-SVIDs alone; empty, the default, for none.
    """

    address: str = "127.0.0.1"
    port: int = 8_443
    certificate: str = ""
    key: str = ""
    identity: str = "/wimse/bundle-endpoint"
    path: str = "/"
    jwks_path: str = ""

    def check(self) -> None:
        """Look at the values.

        Raises:
            ConfigurationError: for a certificate without its key, a relative path, or an identity that is none.
        """
        if bool(self.certificate) != bool(self.key):
            raise ConfigurationError("bundle_endpoint takes certificate and key, or neither")
        for each in (self.certificate, self.key):
            if each and not each.startswith("/"):
                raise ConfigurationError("certificate and key of bundle_endpoint are absolute paths")
        try:
            TrustDomain("spiffe", "any").workload(self.identity)
        except Refused as refused:
            raise ConfigurationError(f"bundle_endpoint.identity: {refused.detail}") from None


class FederationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[federation."other.org"]``: where the bundle of another trust domain is fetched.

    Attributes:
        url: ``https://…``.
        profile: ``https_web`` or ``https_spiffe``; none is inferred (SPIFFE Federation §7.2).
        endpoint_spiffe_id: who the endpoint is, for https_spiffe.
        bootstrap: absolute path of the bundle for the first fetch, for https_spiffe.
        ca_file: absolute path of PEM certificates to trust instead of the system's, for https_web.
        redirect_hosts: other hosts that it may redirect to, for https_web.
    """

    url: str
    profile: Literal["https_web", "https_spiffe"]
    endpoint_spiffe_id: str = ""
    bootstrap: str = ""
    ca_file: str = ""
    redirect_hosts: tuple[str, ...] = ()

    def check(self, name: str, own: str) -> None:
        """Look at the values.

        Args:
            name: of the trust domain.
            own: the server's.

        Raises:
            ConfigurationError: for the own trust domain or none, another URL, or what does not go with the profile.
        """
        if name == own:
            raise ConfigurationError("federation names the server's own trust domain")
        try:
            TrustDomain("spiffe", name)
            if self.endpoint_spiffe_id:
                WorkloadIdentifier.parse(self.endpoint_spiffe_id)
        except Refused as refused:
            raise ConfigurationError(f"federation: {refused.detail}") from None
        if not self.url.startswith("https://"):
            raise ConfigurationError("the url of a federation begins with https://")
        for each in (self.bootstrap, self.ca_file):
            if each and not each.startswith("/"):
                raise ConfigurationError("bootstrap and ca_file of a federation are absolute paths")
        if self.profile == "https_spiffe":
            if not self.endpoint_spiffe_id or self.ca_file or self.redirect_hosts:
                raise ConfigurationError("https_spiffe takes endpoint_spiffe_id and bootstrap, and no ca_file or hosts")
        elif self.endpoint_spiffe_id or self.bootstrap:
            raise ConfigurationError("https_web takes no endpoint_spiffe_id and no bootstrap")

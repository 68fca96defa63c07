"""Trust bundles in files that are looked at now and then.

A file is to be replaced as a whole (written beside it and renamed, as Kubernetes does with its links). One that is read
while it is being written does not parse, and is read again at the next look; what was known stays until then.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wimse.credentials import TrustBundle, TrustDomain
from wimse.credentials.bundle import MAX_BUNDLE_BYTES
from wimse.credentials.bundle_map import MAX_BUNDLE_MAP_BYTES, parse_bundle_map
from wimse.sources.bundle_settings import BundleSettings
from wimse.sources.bundle_source import Newest
from wimse.sources.https_get import unavailable

__all__ = ["BundleFile", "BundleMapFile"]

# A file that was written so shortly before it was read may have been written again within the same tick of its clock.
_SETTLED_SECONDS: Final = 2.0


class _Watched:
    """A file, and what was seen of it last."""

    needs: TrustDomain | None = None

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._seen: tuple[int, ...] | None = None
        self._pending: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """Where the bundles come from."""
        return str(self._path)

    def read(self) -> bytes | None:
        """The content, or None when the file is the one that was taken last.

        Raises:
            Unavailable: `trust_unavailable` when it cannot be read, is no plain file, or is too large.
        """
        try:
            # A pipe would keep us waiting, and a device has no end.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - opened with flags of its own
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise unavailable("it is no plain file")
                seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                if seen == self._seen:
                    return None
                content = file.read(self._max_bytes + 1)
        except OSError as error:
            raise unavailable(f"it cannot be read ({type(error).__name__})") from error
        if len(content) > self._max_bytes:
            raise unavailable(f"it is larger than {self._max_bytes} bytes")
        settled = time.time() - status.st_mtime > _SETTLED_SECONDS
        self._pending = seen if settled else None
        return content

    def taken(self) -> None:
        """What was read is good: it need not be read again while the file stays as it is."""
        self._seen = self._pending


class BundleFile(_Watched):
    """The bundle of one trust domain, in a file: a SPIFFE bundle, or for `wimse` a JWK Set."""

    def __init__(self, trust_domain: TrustDomain, path: str | os.PathLike[str]) -> None:
        """Choose the file.

        Args:
            trust_domain: whose bundle it is; it does not say so itself.
            path: of the file.
        """
        super().__init__(path, MAX_BUNDLE_BYTES)
        self.trust_domain: TrustDomain | None = trust_domain
        self._domain = trust_domain

    async def fetch(self, _: Newest) -> Mapping[TrustDomain, TrustBundle] | None:
        """Look at the file; None when it is what it was.

        Raises:
            Unavailable: `trust_unavailable` when it cannot be read.
            Refused: as `TrustBundle.parse`.
        """
        content = self.read()
        if content is None:
            return None
        bundle = TrustBundle.parse(self._domain, content)
        self.taken()
        return {self._domain: bundle}

    def interval(self, settings: BundleSettings) -> float:
        """Seconds until the next look."""
        return settings.file_interval.total_seconds()


class BundleMapFile(_Watched):
    """The bundles of several trust domains, in a file: a SPIFFE bundle map."""

    def __init__(self, path: str | os.PathLike[str], *, scheme: str = "spiffe") -> None:
        """Choose the file.

        Args:
            path: of the file.
            scheme: of its trust domains, which the map names without.
        """
        super().__init__(path, MAX_BUNDLE_MAP_BYTES)
        self.trust_domain: TrustDomain | None = None
        self._scheme = scheme

    async def fetch(self, _: Newest) -> Mapping[TrustDomain, TrustBundle] | None:
        """Look at the file; as `BundleFile.fetch`, and refused as `parse_bundle_map`."""
        content = self.read()
        if content is None:
            return None
        bundles = parse_bundle_map(content, scheme=self._scheme)
        self.taken()
        return bundles

    def interval(self, settings: BundleSettings) -> float:
        """Seconds until the next look. The hints of its bundles are not heard (Trust Domain and Bundle §5.1.1)."""
        return settings.file_interval.total_seconds()

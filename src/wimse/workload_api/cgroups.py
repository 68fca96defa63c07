"""Which service or container a process is in, from the path of its control group (cgroups(7)).

A path is believed only where nobody but the machine's own managers can have made it: it is read from the root, and what
stands below a delegated unit (``user@1000.service``, whose owner makes groups as he likes) says nothing. Both versions
of cgroups are read; hierarchies that contradict each other prove nothing.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MAX_CGROUP_BYTES", "control_group_selectors"]

MAX_CGROUP_BYTES: Final = 16_384

_ID = "[0-9a-f]{64}"
_POD = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"
# dockerd with the cgroupfs driver, with the systemd driver
_DOCKER: Final = re.compile(
    rf"/(?:docker/(?P<plain>{_ID})|system\.slice/docker-(?P<scope>{_ID})\.scope)(?:/.*)?", re.ASCII
)
# kubelet with the cgroupfs driver; with the systemd driver. kind puts both below a group "kubelet".
_KUBERNETES: Final = (
    re.compile(
        rf"(?:/kubelet)?/kubepods(?:/burstable|/besteffort)?/pod(?P<pod>{_POD})/(?P<container>{_ID})(?:/.*)?", re.ASCII
    ),
    re.compile(
        r"(?:/kubelet\.slice)?(?:/(?:kubelet-)?kubepods\.slice)(?:/(?:kubelet-)?kubepods-(?:burstable|besteffort)\.slice)?"
        rf"/(?:kubelet-)?kubepods(?:-burstable|-besteffort)?-pod(?P<pod>{_POD})\.slice"
        rf"/(?:cri-containerd|crio|docker)-(?P<container>{_ID})\.scope(?:/.*)?",
        re.ASCII,
    ),
)
_SLICE: Final = re.compile(r"(?:[A-Za-z0-9:_.\\@-]+\.slice)", re.ASCII)
_UNIT: Final = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}\.(?:service|scope)", re.ASCII)


def control_group_selectors(text: str) -> frozenset[str]:
    """The selectors that /proc/PID/cgroup bears out.

    Args:
        text: of that file: lines of ``hierarchy:controllers:path``.
    """
    paths = _paths(text)
    found = {selector for path in paths.values() for selector in _container(path)}
    by_kind: dict[str, set[str]] = {}
    for selector in found:
        by_kind.setdefault(selector.rpartition(":")[0], set()).add(selector)
    agreed = {next(iter(values)) for values in by_kind.values() if len(values) == 1}
    # systemd's own hierarchy in version 1, else the only one in version 2
    unit = _unit(paths.get("name=systemd") or paths.get("") or "")
    return frozenset(agreed | ({f"systemd:id:{unit}", f"systemd:unit:{unit}"} if unit else set()))


def _paths(text: str) -> dict[str, str]:
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        # "/../x" is outside of our cgroup namespace: from here nothing can be said about it
        if path.startswith("/") and ".." not in path.split("/"):
            paths[controllers] = path
    return paths


def _container(path: str) -> list[str]:
    docker = _DOCKER.fullmatch(path)
    if docker:
        return [f"docker:container_id:{docker['plain'] or docker['scope']}"]
    for pattern in _KUBERNETES:
        match = pattern.fullmatch(path)
        if match:
            pod = match["pod"].replace("_", "-")
            return [f"k8s:pod-uid:{pod}", f"k8s:container-id:{match['container']}"]
    return []


def _unit(path: str) -> str | None:
    """The unit of the system's manager: the first that is no slice; what is below it is the unit's own affair."""
    for segment in path.split("/")[1:]:
        if _SLICE.fullmatch(segment):
            continue
        return segment if _UNIT.fullmatch(segment) else None
    return None

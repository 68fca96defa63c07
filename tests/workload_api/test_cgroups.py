"""Which service or container; paths as Docker 27, containerd 2, CRI-O, kind and systemd 255 make them."""

from __future__ import annotations

import pytest

from wimse.workload_api.cgroups import control_group_selectors

ID = "4f2c" * 16
POD = "0f1e2d3c-0000-4000-8000-0123456789ab"
DASHED = POD.replace("-", "_")
KIND = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort"
DOCKER = {f"docker:container_id:{ID}"}
KUBERNETES = {f"k8s:pod-uid:{POD}", f"k8s:container-id:{ID}"}


def unit(name: str) -> set[str]:
    return {f"systemd:id:{name}", f"systemd:unit:{name}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/payments.service", unit("payments.service")),
        ("0::/system.slice/system-getty.slice/getty@tty1.service", unit("getty@tty1.service")),
        ("0::/system.slice/payments.service/worker", unit("payments.service")),
        ("1:name=systemd:/system.slice/cron.service\n0::/", unit("cron.service")),
        ("0::/user.slice/user-1000.slice/session-3.scope", unit("session-3.scope")),
        (f"0::/system.slice/docker-{ID}.scope", DOCKER | unit(f"docker-{ID}.scope")),
        (f"0::/system.slice/docker-{ID}.scope/init.scope", DOCKER | unit(f"docker-{ID}.scope")),
        (f"12:memory:/docker/{ID}\n11:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}", DOCKER),
        (f"0::/kubepods/burstable/pod{POD}/{ID}", KUBERNETES),
        (f"0::/kubepods/pod{POD}/{ID}", KUBERNETES),
        (f"11:pids:/kubepods/besteffort/pod{POD}/{ID}\n0::/", KUBERNETES),
        (f"0::/kubelet/kubepods/burstable/pod{POD}/{ID}", KUBERNETES),
        (f"0::/kubepods/pod{'0a' * 16}/{ID}", {f"k8s:pod-uid:{'0a' * 16}", f"k8s:container-id:{ID}"}),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{DASHED}.slice/cri-containerd-{ID}.scope",
            KUBERNETES | unit(f"cri-containerd-{ID}.scope"),
        ),
        (
            f"0::/kubepods.slice/kubepods-pod{DASHED}.slice/crio-{ID}.scope",
            KUBERNETES | unit(f"crio-{ID}.scope"),
        ),
        (
            f"0::{KIND}-pod{DASHED}.slice/cri-containerd-{ID}.scope",
            KUBERNETES | unit(f"cri-containerd-{ID}.scope"),
        ),
    ],
)
def test_group_of_a_manager_is_believed(text: str, expected: set[str]) -> None:
    assert control_group_selectors(text + "\n") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0::/",
        "garbage",
        "0:/system.slice/payments.service",
        "0::system.slice/payments.service",
        f"0::/docker/{ID[:-1]}",
        f"0::/docker/{ID.upper()}",
        f"0::/mine/docker/{ID}",
        f"0::/../../docker/{ID}",
        "0::/../system.slice/payments.service",
        f"0::/kubepods/burstable/pod{POD}",
        f"0::/kubepods/mine/burstable/pod{POD}/{ID}",
        f"0::/kubepods/burstable/pod{POD}/{ID[:12]}",
        "0::/payments",
        "0::/system.slice",
        "0::/system.slice/dir/payments.service",
    ],
)
def test_anything_else_says_nothing(text: str) -> None:
    assert control_group_selectors(text) == frozenset()


@pytest.mark.parametrize(
    "below",
    ["payments.service", f"docker-{ID}.scope", f"docker/{ID}", f"kubepods/pod{POD}/{ID}", "app.slice/payments.service"],
)
def test_group_that_a_user_has_made_is_not_believed(below: str) -> None:
    """IS-10: whom systemd delegates a unit makes groups of any name below it."""
    delegated = "0::/user.slice/user-1000.slice/user@1000.service/"
    assert control_group_selectors(delegated + below) == unit("user@1000.service")


def test_hierarchies_that_contradict_each_other_prove_nothing() -> None:
    other = "9a" * 32
    assert control_group_selectors(f"3:cpu:/docker/{ID}\n2:pids:/docker/{other}\n") == frozenset()

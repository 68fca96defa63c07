from __future__ import annotations

import pytest

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.issuer import Caller, Entry, Grant, Registrations, Selector

CALLER = Caller(pid=41, uid=1000, gid=100, executable="/usr/bin/payments")


def entry(path: str, *selectors: str, hint: str = "") -> Entry:
    return Entry(path, tuple(Selector.parse(text) for text in selectors), hint)


@pytest.mark.parametrize(
    "text",
    [
        "unix:pid:41",
        "unix:uid:1000",
        "unix:gid:100",
        "unix:supplementary_gid:27",
        "unix:path:/usr/bin/payments",
        "unix:path:/a b:c",
        "unix:user:www-data",
        "unix:group:docker",
        f"unix:sha256:{'0a' * 32}",
        "systemd:id:payments.service",
        "systemd:unit:user@1000.service",
        f"docker:container_id:{'0a' * 32}",
        f"k8s:container-id:{'0a' * 32}",
        "k8s:pod-uid:0f1e2d3c-0000-4000-8000-0123456789ab",
    ],
)
def test_selector_is_written_as_it_was_read(text: str) -> None:
    assert str(Selector.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix",
        "unix:uid",
        "unix:uid:",
        "unix:uid:0*",
        "unix:uid:*",
        "unix:uid:01",
        "unix:uid:-1",
        "unix:uid:+1",
        "unix:uid: 1",
        "unix:uid:1 ",
        "unix:uid:1\n",
        "unix:uid:0x0",
        "unix:uid:1_0",
        "unix:uid:\u0661",  # a digit, but not an ASCII one
        "unix:uid:4294967296",
        "unix:uid:1' OR '1'='1",
        "unix:user:0",
        "unix:user:",
        "unix:user:ro*t",
        "unix:user:root ",
        "unix:group:a:b",
        "unix:supplementary_gid:-1",
        f"unix:sha256:{'0A' * 32}",
        "unix:sha256:0a",
        "unix:systemd:id:a.service",
        "systemd:id:payments",
        "systemd:id:pay*.service",
        "systemd:uid:0",
        "docker:container_id:0a0a0a0a0a0a",
        "docker:label:a:b",
        "k8s:pod-uid:0F1E2D3C-0000-4000-8000-0123456789AB",
        "k8s:pod-uid:*",
        "UNIX:uid:0",
        "k8s:sa:default",
        "unix:path:relative",
        "unix:path:/",
        "unix:path:/usr/../bin/sh",
        "unix:path:/usr//bin/sh",
        "unix:path:/usr/bin/",
        "unix:path:/usr/bin/*",
        "unix:path:/usr/bin/sh\0",
        "unix:path:/usr/bin/sh (deleted)\n",
    ],
)
def test_malformed_selector_is_refused(text: str) -> None:
    """IS-30: selectors are exact; there is neither a pattern nor a language in them."""
    with pytest.raises(ConfigurationError):
        Selector.parse(text)


@pytest.mark.parametrize(
    "path", ["", "/", "payments", "/a/../b", "/a//b", "/a/", "//other/x", "spiffe://other/x", "/a%62"]
)
def test_entry_for_no_path_of_the_trust_domain_is_refused(path: str) -> None:
    """IS-31, SV-20: no other trust domain, no dot segments, no root."""
    with pytest.raises(ConfigurationError, match="the path of an entry"):
        entry(path, "unix:uid:0")


def test_entry_without_selectors_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no selectors"):
        entry("/payments")


def test_entry_with_two_selectors_of_one_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one kind"):
        entry("/payments", "unix:uid:0", "unix:uid:1")


def test_long_hint_is_refused() -> None:
    """IS-15: at most 1024 bytes, not characters."""
    entry("/payments", "unix:uid:0", hint="a" * 1024)
    with pytest.raises(ConfigurationError, match="longer than 1024 bytes"):
        entry("/payments", "unix:uid:0", hint="é" * 513)


def test_hint_twice_for_one_caller_is_refused() -> None:
    """IS-15: a caller never gets two identities with one hint."""
    with pytest.raises(ConfigurationError, match="hint of another entry"):
        Registrations([entry("/a", "unix:uid:0", hint="x"), entry("/b", "unix:gid:0", hint="x")])


def test_hint_twice_for_callers_that_differ_is_accepted() -> None:
    Registrations([entry("/a", "unix:uid:0", hint="x"), entry("/b", "unix:uid:1", hint="x")])


@pytest.mark.parametrize(
    "selectors",
    [
        ("unix:pid:42",),
        ("unix:uid:0",),
        ("unix:gid:0",),
        ("unix:path:/usr/bin/payments2",),
        ("unix:path:/usr/bin/payment",),
        ("unix:path:/bin/payments",),
        ("unix:uid:1000", "unix:gid:0"),
        ("unix:uid:1000", "unix:gid:100", "unix:path:/usr/bin/other"),
    ],
)
def test_entry_matches_only_when_all_selectors_do(selectors: tuple[str, ...]) -> None:
    registrations = Registrations([entry("/payments", *selectors)], default_identities=False)
    with pytest.raises(Refused) as refusal:
        registrations.grants(CALLER)
    assert refusal.value.reason is Reason.NO_IDENTITY


def test_entries_are_given_in_their_order_and_each_identity_once() -> None:
    registrations = Registrations(
        [
            entry("/b", "unix:uid:1000", hint="internal"),
            entry("/other", "unix:uid:7"),
            entry("/a", "unix:gid:100", "unix:path:/usr/bin/payments"),
            entry("/b", "unix:pid:41"),
        ]
    )
    assert registrations.grants(CALLER) == (Grant("/b", "internal"), Grant("/a"))


def test_caller_without_entry_has_the_default_identity() -> None:
    registrations = Registrations([entry("/other", "unix:uid:7")])
    assert registrations.grants(CALLER) == (Grant("/bin/payments/gid/100/pid/41/uid/1000"),)


def test_default_identities_can_be_switched_off() -> None:
    """IS-13: no identity is a refusal, not an empty answer."""
    with pytest.raises(Refused) as refusal:
        Registrations(default_identities=False).grants(CALLER)
    assert refusal.value.reason is Reason.NO_IDENTITY


@pytest.mark.parametrize("name", ["my prog", "a%2Fb", "prögramm", "..", "a;b", "x" * 2100])
def test_executable_that_no_spiffe_id_can_name_has_no_default_identity(name: str) -> None:
    caller = Caller(pid=1, uid=0, gid=0, executable=f"/opt/{name}")
    with pytest.raises(Refused) as refusal:
        Registrations().grants(caller)
    assert refusal.value.reason is Reason.NO_IDENTITY
    assert name not in refusal.value.detail


def test_too_many_entries_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 10000"):
        Registrations(entry("/a", f"unix:uid:{number}") for number in range(10_001))


def test_too_many_selectors_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 32 selectors"):
        entry("/a", *(f"unix:supplementary_gid:{number}" for number in range(33)))


def test_properties_match_as_they_are_written() -> None:
    caller = Caller(pid=1, uid=0, gid=0, executable="/bin/x", properties=frozenset({"unix:user:root"}))
    assert Selector.parse("unix:user:root").matches(caller)
    assert not Selector.parse("unix:user:roo").matches(caller)


def test_caller_of_another_mount_namespace_has_neither_path_nor_default_identity() -> None:
    """IS-09: what its path says is not what that path says here."""
    caller = Caller(pid=1, uid=0, gid=0, executable="")
    assert not entry("/a", "unix:uid:0", "unix:path:/bin/x").matches(caller)
    with pytest.raises(Refused) as refusal:
        Registrations().grants(caller)
    assert refusal.value.reason is Reason.NO_IDENTITY


def test_all_supplementary_groups_of_an_entry_are_needed() -> None:
    """IS-10."""
    both = entry("/a", "unix:supplementary_gid:4", "unix:supplementary_gid:27")
    groups = {"unix:supplementary_gid:4", "unix:supplementary_gid:5"}
    assert not both.matches(Caller(pid=1, uid=0, gid=27, executable="/x", properties=frozenset(groups)))
    groups |= {"unix:supplementary_gid:27"}
    assert both.matches(Caller(pid=1, uid=0, gid=0, executable="/x", properties=frozenset(groups)))


def test_entries_with_different_supplementary_groups_may_meet() -> None:
    """IS-15: one caller can be in both."""
    with pytest.raises(ConfigurationError, match="hint of another entry"):
        Registrations(
            [
                entry("/a", "unix:supplementary_gid:1", hint="x"),
                entry("/b", "unix:supplementary_gid:2", hint="x"),
            ]
        )


@pytest.mark.parametrize("name", ["", "Other.org", "spiffe://other.org", "other.org/a"])
def test_federation_with_no_trust_domain_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="federates_with of the entry /a"):
        Entry("/a", (Selector.parse("unix:uid:0"),), federates_with=(name,))


def test_grant_says_whom_it_federates_with() -> None:
    federated = Entry("/a", (Selector.parse("unix:uid:1000"),), federates_with=("other.org",))
    assert Registrations([federated]).grants(CALLER) == (Grant("/a", "", ("other.org",)),)


def test_registrations_say_what_they_need_to_know() -> None:
    assert Registrations([entry("/a", "unix:uid:0", "unix:user:root"), entry("/b", "systemd:id:a.service")]).kinds == {
        "uid",
        "user",
        "systemd:id",
    }


def test_one_of_many_entries_is_found_without_looking_at_all() -> None:
    many = [entry(f"/w/{number}", "unix:gid:100", f"unix:uid:{number}") for number in range(10_000)]
    registrations = Registrations(many, default_identities=False)
    assert registrations.grants(CALLER) == (Grant("/w/1000"),)
    assert max(len(places) for places in registrations._by_selector.values()) == 1

from __future__ import annotations

import pytest

from wimse.errors import ConfigurationError
from wimse.workload_api import DEFAULT_SOCKET, EndpointAddress, default_socket


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///tmp/spire.sock", EndpointAddress(path="/tmp/spire.sock")),
        ("unix:/tmp/spire.sock", EndpointAddress(path="/tmp/spire.sock")),
        ("unix:///a b/ü", EndpointAddress(path="/a b/ü")),
        ("tcp://127.0.0.1:8000", EndpointAddress(host="127.0.0.1", port=8000)),
        ("tcp://[::1]:65535", EndpointAddress(host="::1", port=65535)),
    ],
)
def test_both_forms_are_read(text: str, address: EndpointAddress) -> None:
    """SV-25."""
    assert EndpointAddress.parse(text) == address
    assert EndpointAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/tmp/spire.sock",
        "unix:",
        "unix://",
        "unix:///",
        "unix:tmp/spire.sock",
        "unix://tmp/spire.sock",
        "unix://localhost/tmp/spire.sock",
        "unix:////tmp/spire.sock",
        "unix:///tmp/",
        "unix:///tmp/a?b",
        "unix:///tmp/a?",
        "unix:///tmp/a#b",
        "unix:///tmp/%61",
        "unix:///tmp/a\n",
        "unix:///tmp/a\0",
        "unix:///" + "a" * 107,
        "UNIX:///tmp/a",
        "http://127.0.0.1:1",
        "tcp:127.0.0.1:8000",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:080",
        "tcp://127.0.0.1:8000/",
        "tcp://127.0.0.1:8000/foo",
        "tcp://127.0.0.1:8000?a",
        "tcp://127.0.0.1:8000#a",
        "tcp://user@127.0.0.1:8000",
        "tcp://localhost:8000",
        "tcp://127.0.0.256:1",
        "tcp://127.1:1",
        "tcp://::1:1",
        "tcp://[127.0.0.1:1",
        "tcp://[zz]:1",
        "tcp://127.0.0.1:8000\n",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    """CL-07, SV-25."""
    with pytest.raises(ConfigurationError):
        EndpointAddress.parse(text)
    with pytest.raises(ConfigurationError, match="SPIFFE_ENDPOINT_SOCKET"):
        default_socket({"SPIFFE_ENDPOINT_SOCKET": text})


def test_environment_comes_before_the_default() -> None:
    assert default_socket({"SPIFFE_ENDPOINT_SOCKET": "tcp://127.0.0.1:1"}) == EndpointAddress(host="127.0.0.1", port=1)
    assert str(default_socket({})) == DEFAULT_SOCKET == "unix:///tmp/spire.sock"

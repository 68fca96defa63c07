"""The generated code beside others'; tools/protobuf_versions.py runs it with the runtimes of the last two years."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import wimse.workload_api.proto as package
from wimse.workload_api.proto import minispire_pb2, workload_pb2
from wimse.workload_api.proto.pool import POOL, Default

GENERATED = sorted(Path(package.__file__).parent.glob("*_pb2.py"))


@pytest.mark.parametrize(
    "order",
    [
        "import wimse.workload_api.proto.workload_pb2, spiffe",
        "import spiffe, wimse.workload_api.proto.workload_pb2",
    ],
)
def test_another_library_of_the_workload_api_may_be_in_the_same_process(order: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", order], check=True)


def test_generated_code_is_in_a_pool_of_its_own() -> None:
    assert Default() is POOL
    for module in (workload_pb2, minispire_pb2):
        assert module.DESCRIPTOR.pool is POOL


@pytest.mark.parametrize("file", GENERATED, ids=lambda file: file.name)
def test_generated_code_demands_no_version_of_the_runtime(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "runtime_version" not in text
    assert re.search(r"^# Protobuf Python Version: 4\.25\.", text, re.MULTILINE)


def test_there_is_generated_code() -> None:
    assert len(GENERATED) == 2

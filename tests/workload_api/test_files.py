"""Credentials as files: whole generations, seen whole."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from wimse.errors import ConfigurationError
from wimse.workload_api import GenerationWriter
from wimse.workload_api.files import PRIVATE, PUBLIC


def generation(text: str) -> dict[str, tuple[bytes, int]]:
    return {"token": (text.encode(), PRIVATE), "key": (text.encode(), PRIVATE), "bundle": (text.encode(), PUBLIC)}


def test_files_have_their_modes_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        GenerationWriter(tmp_path / "d").write(generation("1"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    modes = {name: stat.S_IMODE((tmp_path / "d" / name).stat().st_mode) for name in generation("")}
    assert modes == {"token": 0o600, "key": 0o600, "bundle": 0o644}


def test_reader_never_sees_a_token_beside_another_key(tmp_path: Path) -> None:
    """CL-06, for those who read files."""
    writer, stop, mixed, seen = GenerationWriter(tmp_path), threading.Event(), [], set()
    writer.write(generation("0"))

    def read() -> None:
        while not stop.is_set():
            directory = os.open(tmp_path / "..current", os.O_RDONLY | os.O_DIRECTORY)
            try:
                texts = set()
                for name in ("token", "key", "bundle"):
                    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=directory)) as file:
                        texts.add(file.read())
                seen.update(texts)
                if len(texts) != 1:
                    mixed.append(texts)
            except FileNotFoundError:
                pass  # two generations later: it begins again
            finally:
                os.close(directory)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 60):
        writer.write(generation(str(number)))
    stop.set()
    reader.join()
    assert mixed == []
    assert len(seen) > 2
    assert (tmp_path / "token").read_text() == "59"


def test_old_generations_go_and_one_stays(tmp_path: Path) -> None:
    writer = GenerationWriter(tmp_path)
    for number in range(5):
        writer.write(generation(str(number)))
    assert len([each for each in tmp_path.iterdir() if each.is_dir() and not each.is_symlink()]) == 2


def test_file_that_is_left_out_goes(tmp_path: Path) -> None:
    """CL-04."""
    writer = GenerationWriter(tmp_path)
    writer.write(generation("1"))
    writer.write({"bundle": (b"2", PUBLIC)})
    assert sorted(each.name for each in tmp_path.iterdir() if not each.name.startswith("..")) == ["bundle"]


def test_foreign_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("mine")
    with pytest.raises(ConfigurationError, match="not ours"):
        GenerationWriter(tmp_path).write(generation("1"))
    assert (tmp_path / "key").read_text() == "mine"


def test_failed_write_leaves_everything_as_it_was(tmp_path: Path) -> None:
    writer = GenerationWriter(tmp_path)
    writer.write(generation("1"))
    with pytest.raises(OSError, match="No such file"):
        writer.write({**generation("2"), "no/such/folder": (b"", PRIVATE)})
    assert (tmp_path / "token").read_text() == "1"
    assert len([each for each in tmp_path.iterdir() if each.is_dir() and not each.is_symlink()]) == 1


def test_unsafe_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="others may write"):
        GenerationWriter(tmp_path / "open")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        GenerationWriter(tmp_path / "file")
    with pytest.raises(ConfigurationError):
        GenerationWriter(tmp_path / "no" / "where")

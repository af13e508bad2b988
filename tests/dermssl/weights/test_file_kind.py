"""Files that are no weights, told by their first bytes and not by their names."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from dermssl.exchange.foreign import read_foreign_checkpoint
from dermssl.weights.file_kind import EMPTY, HTML, JSON, PICKLE, SAFETENSORS, TORCH, FileKind, kind_of

TENSORS = {"w": torch.ones(3)}


def bytes_by(write: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def kind(content: bytes, tmp_path: Path) -> FileKind | None:
    (tmp_path / "weights.pth").write_bytes(content)
    return kind_of(tmp_path / "weights.pth")


def zipped(stream: io.BytesIO) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("weights.txt", "1")


def tarred(stream: io.BytesIO) -> None:
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", EMPTY),
        (b"<!DOCTYPE html>\n<html><title>Log in</title></html>", HTML),
        ("\ufeff\n  <HTML lang='de'><p>gesch\u00fctzt</p>".encode() + "\u00e4".encode() * 400, HTML),
        (json.dumps({"weight_map": {"w": "model-00001.safetensors"}}).encode(), JSON),
        (bytes_by(lambda stream: torch.save(TENSORS, stream)), TORCH),
        (bytes_by(lambda stream: torch.save(TENSORS, stream, _use_new_zipfile_serialization=False)), TORCH),
        (save(TENSORS), SAFETENSORS),
        (pickle.dumps({"w": np.ones(3)}), PICKLE),
        (bytes(range(200, 240)), None),
    ],
)
def test_a_file_is_known_by_its_first_bytes(content: bytes, expected: FileKind | None, tmp_path: Path) -> None:
    assert kind(content, tmp_path) is expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
        (gzip.compress(b"w"), "gzip"),
        (bz2.compress(b"w"), "bzip2"),
        (lzma.compress(b"w"), "xz"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (bytes_by(lambda stream: np.save(stream, np.ones(3))), "numpy"),
        (bytes_by(zipped), "zip archive"),
        (bytes_by(zipped)[:40], "damaged archive"),
        (bytes_by(tarred), "tar archive"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "ONNX"),
        (b"epoch 1  loss 0.7\n", "a text that begins with 'epoch 1 loss 0.7'"),
    ],
)
def test_a_kind_has_a_name_for_people(content: bytes, words: str, tmp_path: Path) -> None:
    found = kind(content, tmp_path)
    assert found is not None
    assert words in found.words


def test_the_sentence_has_the_kind_what_was_expected_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "my weights.pth").write_bytes(gzip.compress(b"w"))
    found = kind_of(tmp_path / "my weights.pth")
    assert found is not None
    assert found.sentence(Path("my weights.pth"), "checkpoint of torch") == (
        "my weights.pth: is packed by gzip, and no checkpoint of torch; unpack it, `gzip -dc 'my weights.pth' > "
        "unpacked`, and give what comes of it"
    )


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_unpacks_a_packed_checkpoint_gives_one_that_is_read(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    found = kind(pack(bytes_by(lambda stream: torch.save(TENSORS, stream))), tmp_path)
    assert found is not None
    command = found.remedy.split("`")[1].replace("FILE", "weights.pth")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert ("w",) in read_foreign_checkpoint(tmp_path / "unpacked").tensors

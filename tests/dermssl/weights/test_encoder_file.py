"""The file between the tools: it comes back as it went in, and damage anywhere in it is noticed."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dermssl.errors import UserError
from dermssl.weights import tensor_file
from dermssl.weights.encoder_file import (
    EncoderCard,
    read_card,
    read_encoder_file,
    write_encoder_file,
)
from dermssl.weights.tensor_file import read_tensors, sha256_of_tensors, write_tensors

CARD = EncoderCard(
    encoder="resnet18",
    method="moco",
    mean=(0.1 + 0.2, 0.4, 0.5),
    std=(0.2, 0.3, 1 / 3),
    image_size=224,
    epochs=3,
    images_seen=1200,
    parent="imagenet",
    config={"lr": 1e-3, "data": None, "dims": [1, 2], "path": "a b/ü"},
    data={"count": 400, "manifest": "abc", "licence": "CC0"},
    commit="1a2b3c4",
)


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator).to(memory_format=torch.channels_last),
        "norm.num_batches_tracked": torch.tensor(7),
        "half": torch.randn(5, generator=generator).to(torch.bfloat16),
        "none": torch.zeros(0),
        "flags": torch.tensor([True, False]),
        "turned": torch.randn(3, 4, generator=generator).T,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_encoder_file(tmp_path / "encoder.safetensors", tensors(), CARD)
    return tmp_path / "encoder.safetensors"


def refusal(path: Path, read: Callable[[Path], object] = read_encoder_file) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def header_size(data: bytes) -> int:
    """The header's end, as safetensors lays its files out: eight bytes of length, then JSON, then tensors."""
    return 8 + int.from_bytes(data[:8], "little")


def test_card_and_tensors_come_back_as_they_went_in(path: Path) -> None:
    card, found = read_encoder_file(path)
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors().items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in tensors().items())
    assert card == EncoderCard(**{**vars(CARD), "sha256": sha256_of_tensors(tensors())})


def test_writing_returns_the_card_that_is_read(tmp_path: Path) -> None:
    assert write_encoder_file(tmp_path / "a", tensors(), CARD) == read_encoder_file(tmp_path / "a")[0]


def test_the_card_is_read_without_the_weights(path: Path) -> None:
    data = path.read_bytes()
    damaged = bytearray(data)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert read_card(path).method == "moco"
    assert "damaged" in refusal(path)


def test_the_file_holds_nothing_but_json_and_tensors(path: Path) -> None:
    data = path.read_bytes()
    header = json.loads(data[8 : header_size(data)])
    assert json.loads(header["__metadata__"]["card"])["encoder"] == "resnet18"
    assert set(header) == {"__metadata__", *tensors()}


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_tensors_is_noticed(bit: int, path: Path) -> None:
    data = path.read_bytes()
    first = header_size(data)
    for place in np.linspace(first, len(data) - 1, 12).astype(int):
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        refusal(path)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_header_is_noticed(bit: int, path: Path) -> None:
    data = path.read_bytes()
    padding = len(data[8 : header_size(data)].rstrip()) + 8
    for place in range(bit, padding, 23):
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        refusal(path)


def test_a_changed_digit_of_the_mean_is_noticed_even_by_who_reads_the_card_alone(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b"0.4, 0.5") == 1
    path.write_bytes(data.replace(b"0.4, 0.5", b"0.4, 0.6"))
    assert "damaged" in refusal(path, read_card)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(share: float, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert refusal(path).endswith("; copy it or make it again")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: p.write_bytes(b""), "is empty, and no file of"),
        (
            lambda p: p.write_text("these are not the weights that you look for\n" * 9),
            "is a text that begins with 'these",
        ),
        (lambda p: p.write_text("<!DOCTYPE html><title>Log in</title>"), "download the file itself and not its page"),
        (lambda p: p.write_bytes(pickle.dumps(tensors())), "is a pickle that torch did not write"),
        (lambda p: torch.save(tensors(), p), "is a checkpoint of torch, and no file of"),
        (lambda p: save_file({"a": torch.zeros(2)}, p), "is a safetensors file without a card"),
        (lambda p: save_file({"a": torch.zeros(2)}, p, metadata={"card": "[1]", "card_sha256": "0"}), "damaged, or no"),
    ],
)
@pytest.mark.parametrize("read", [read_encoder_file, read_card])
def test_what_is_no_encoder_file_is_refused_as_what_it_is(
    write: Callable[[Path], object], said: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    write(tmp_path / "weights")
    assert said in refusal(tmp_path / "weights", read)


@pytest.mark.parametrize("write", [torch.save, save_file])
def test_weights_of_other_makers_are_answered_with_the_command_that_imports_them(
    write: Callable[[object, Path], object], tmp_path: Path
) -> None:
    write({"w": torch.zeros(2)}, tmp_path / "weights")
    assert refusal(tmp_path / "weights").endswith(
        f"; `python -m dermssl import {tmp_path / 'weights'} --as ENCODER` makes an encoder file of it"
    )


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "weights").write_bytes(pickle.dumps(Trap()))
    refusal(tmp_path / "weights")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_file_says_what_init_takes(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        f"{tmp_path / 'none'}: no such file; --init takes ssl, imagenet, random or a file of `python -m pretrain`"
    )


def test_a_folder_is_not_taken_for_a_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path)


def test_the_file_of_another_kind_of_network_is_no_encoder(tmp_path: Path) -> None:
    write_tensors(tmp_path / "model.safetensors", tensors(), {"encoder": "resnet18", "decoder": "unet"})
    assert refusal(tmp_path / "model.safetensors").endswith(
        "not an encoder's file: its card lacks method; --init takes a file of `python -m pretrain`"
    )
    assert read_tensors(tmp_path / "model.safetensors")[0]["decoder"] == "unet"


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", tensors(), {**vars(CARD), "invented_later": 1})
    assert read_card(tmp_path / "a").encoder == "resnet18"


def test_a_write_that_fails_leaves_the_old_file_and_no_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def half(_: object, part: Path, metadata: object) -> None:
        part.write_bytes(b"half")
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensor_file, "save_file", half)
    with pytest.raises(UserError, match="no room left on the disk"):
        write_encoder_file(path, {"a": torch.zeros(1)}, CARD)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_the_hash_is_of_values_and_not_of_memory_layout() -> None:
    ours = tensors()
    flat = {name: tensor.contiguous() for name, tensor in reversed(ours.items())}
    assert sha256_of_tensors(flat) == sha256_of_tensors(ours)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(half=t["half"].float()),
        lambda t: t.update(turned=t["turned"].reshape(3, 4)),
        lambda t: t.update(more=t.pop("half")),
        lambda t: t.update({"norm.num_batches_tracked": torch.tensor(8)}),
        lambda t: t.pop("none"),
    ],
    ids=["type", "shape", "name", "value", "one less"],
)
def test_the_hash_changes_with(change: Callable[[dict[str, Tensor]], object]) -> None:
    changed = tensors()
    change(changed)
    assert sha256_of_tensors(changed) != sha256_of_tensors(tensors())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image_size": -1}, "its card's image_size is -1, and not a whole number from 0 to"),
        ({"std": [0, 1, 1]}, "its card's std is [0, 1, 1], and not three numbers in (0, 1]"),
        ({"encoder": "tu-hf-hub:evil/repo"}, 'is "tu-hf-hub:evil/repo", and not an encoder\'s name that'),
        (
            {"encoder": "tu-local-dir:/etc"},
            "and not an encoder's name that segmentation-models-pytorch or timm has here",
        ),
        ({"method": "a\nb"}, 'its card\'s method is "a\\nb", and not a line of text'),
    ],
)
def test_a_card_that_no_pretraining_writes_is_refused_by_its_field(
    fields: dict[str, object], said: str, tmp_path: Path
) -> None:
    write_tensors(tmp_path / "a", tensors(), {**vars(CARD), **fields})
    assert said in refusal(tmp_path / "a", read_card)


@pytest.mark.parametrize("number", [torch.nan, -torch.inf])
def test_a_tensor_that_is_not_finite_is_refused_by_its_name(number: float, tmp_path: Path) -> None:
    write_encoder_file(tmp_path / "a", {"good": torch.ones(2), "bad": torch.tensor([1, number])}, CARD)
    assert "its tensor 'bad' holds NaN or infinity" in refusal(tmp_path / "a")

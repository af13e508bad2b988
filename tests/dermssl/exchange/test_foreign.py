"""Opening a stranger's checkpoint: what is data is read, and nothing in the file is ever run."""

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.utilities.parsing import AttributeDict
from torch import nn

from dermssl.errors import UserError
from dermssl.exchange.foreign import read_foreign_checkpoint
from dermssl.exchange.foreign_pickle import BLANKS, TABLES, Blank, load_pickle

ONE = torch.ones(2)


class Runs:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., object], *given: object) -> None:
        self.call = (function, given)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Plants:
    """A stranger's class, whose state would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, Path]) -> None:
        state["path"].touch()


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_foreign_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("function", ["os.system", "os.mkdir", "builtins.open", "builtins.eval", "Path.touch"])
def test_a_checkpoint_that_runs_a_command_is_refused_and_runs_nothing(
    function: str, zipped: bool, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    calls = {
        "os.system": Runs(os.system, f"touch {planted}"),
        "os.mkdir": Runs(os.mkdir, str(planted)),
        "builtins.open": Runs(open, str(planted), "w"),
        "builtins.eval": Runs(eval, f"open({str(planted)!r}, 'w')"),
        "Path.touch": Plants(planted),
    }
    path = saved(
        tmp_path / "evil.pth", {"state_dict": {"w": ONE}, "x": calls[function]}, _use_new_zipfile_serialization=zipped
    )
    assert "without running code" in refusal(path)
    assert not planted.exists()


def test_the_drawn_attack_would_have_worked(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Runs(os.mkdir, str(tmp_path / "planted"))))
    assert (tmp_path / "planted").exists()


def test_a_name_that_is_let_through_is_a_blank_and_not_what_it_names(tmp_path: Path) -> None:
    path, kinds = saved(tmp_path / "a.pth", {"x": None}), {}
    for name in (*BLANKS, *TABLES):
        module, _, kind = name.rpartition(".")
        call = b"\x80\x02c%s\n%s\n(X\x01\x00\x00\x007tR."  # the pickle of module.kind("7")
        with_pickle(path, call % (module.encode(), kind.encode()))
        kinds[name] = type(load_pickle(path))
    assert kinds == dict.fromkeys(BLANKS, Blank) | dict.fromkeys(TABLES, dict)


def with_pickle(path: Path, pickled: bytes) -> None:
    """Puts another pickle into a file of `torch.save`."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, pickled if name.endswith("/data.pkl") else content)


def test_what_trainings_leave_beside_their_tensors_is_passed_over(tmp_path: Path) -> None:
    content = {
        "state_dict": OrderedDict({"layer.weight": ONE}),
        "args": argparse.Namespace(arch="resnet50", out=Path("runs"), scale=np.float32(2)),
        "hyper_parameters": AttributeDict({"model": "resnet18", "lr": 0.1}),
        "cfg": OmegaConf.create({"method": "byol", "lr": [0.1, None], "deep": {"on": True}}),
        "losses": defaultdict(list, {"train": [1.0]}),
        "best": np.float64(0.5),
        "curve": np.zeros(3),
        "random": np.array(["a"]),
        "dtype": torch.float16,
    }
    checkpoint = read_foreign_checkpoint(saved(tmp_path / "training.ckpt", content))
    assert list(checkpoint.tensors) == [("state_dict", "layer", "weight")]
    assert checkpoint.words["hyper_parameters", "model"] == "resnet18"


@pytest.mark.parametrize(
    ("content", "architecture"),
    [
        ({"arch": "resnet50"}, "resnet50"),
        ({"args": argparse.Namespace(arch="resnet34")}, "resnet34"),
        ({"args": argparse.Namespace(model="resnet18")}, "resnet18"),
        ({"hyper_parameters": {"model": "unet", "backbone": "resnet18"}}, "unet"),
        ({"search": "resnet50", "hyper_parameters": {"lr": 0.1}}, ""),
    ],
)
def test_the_architecture_is_read_where_trainings_write_it(
    content: dict[str, object], architecture: str, tmp_path: Path
) -> None:
    assert read_foreign_checkpoint(saved(tmp_path / "a.pth", {"w": ONE, **content})).architecture == architecture


def test_parts_of_a_place_are_keys_and_the_words_between_dots(tmp_path: Path) -> None:
    content = {"model": {"_orig_mod.trunk.weight": ONE}, "state": {0: {"exp_avg": [ONE]}}}
    places = set(read_foreign_checkpoint(saved(tmp_path / "a.pth", content)).tensors)
    assert places == {("model", "trunk", "weight"), ("state", "0", "exp_avg", "0")}


def test_containers_that_hold_themselves_end(tmp_path: Path) -> None:
    ring: dict[str, object] = {"w": ONE}
    ring["again"] = ring
    assert list(read_foreign_checkpoint(saved(tmp_path / "a.pth", ring)).tensors) == [("w",)]


def test_thirty_lists_of_one_another_are_not_read_a_billion_times(tmp_path: Path) -> None:
    inner: list[object] = [ONE]
    for _ in range(30):
        inner = [inner, inner]
    assert len(read_foreign_checkpoint(saved(tmp_path / "a.pth", {"x": inner})).tensors) == 1


def test_a_whole_module_is_refused_with_the_lines_that_make_a_clean_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", nn.Linear(2, 2))
    assert "torch.nn.modules.linear.Linear" in refusal(path)
    assert refusal(path).endswith(
        "; where it was made, save its tensors alone: `torch.save(model.state_dict(), 'clean.pt')`"
    )


def test_a_checkpoint_of_lightly_train_is_refused_with_its_own_export(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", {"state_dict": {"w": ONE}, "lightly_train": Runs(AttributeDict)})
    path.write_bytes(
        renamed(path.read_bytes(), b"pytorch_lightning.utilities.parsing", b"lightly_train._models.embedding_mod")
    )
    assert "lightly_train.export(out='clean.pt'" in refusal(path)


def renamed(content: bytes, old: bytes, new: bytes) -> bytes:
    """The pickle with another module's name of the same length in it."""
    assert len(old) == len(new)
    assert content.count(old) == 1
    return content.replace(old, new)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_as_a_format_that_holds_programs(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), ONE).save(tmp_path / "scripted.pt")
    assert "holds programs" in refusal(tmp_path / "scripted.pt")


@pytest.mark.parametrize("content", [b"", b"hello, this is no checkpoint", b"PK\x03\x04 and then nothing", bytes(64)])
def test_what_is_no_checkpoint_is_told_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    assert "no checkpoint of torch" in refusal(tmp_path / "a.pth")


def test_a_page_of_the_web_is_told_to_be_one(tmp_path: Path) -> None:
    page = tmp_path / "resnet50.pth"
    page.write_text("<!DOCTYPE html>\n<html><title>Log in</title></html>")
    assert refusal(page) == (
        f"{page}: is a page of the web (HTML), such as one to log in at, and no checkpoint of torch; "
        "download the file itself and not its page"
    )


def test_bytes_of_no_known_kind_are_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(bytes(range(200, 240)))
    assert "(it begins with the bytes c8 c9 ca cb cc cd ce cf, as no file known here)" in refusal(tmp_path / "a.pth")


def test_half_a_checkpoint_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"w": torch.randn(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    assert "damaged" in refusal(path)


def test_half_a_safetensors_file_is_damaged(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.randn(1000)}, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:2000])
    assert "damaged" in refusal(tmp_path / "a.safetensors")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    assert "holds no tensors" in refusal(saved(tmp_path / "a.pth", {"epoch": 3}))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "a.pth")

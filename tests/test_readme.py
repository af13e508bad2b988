"""The README's commands run as they are printed, on a dozen drawn images and with so few steps that they end soon.

Its pictures are there, and small.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import yaml
from pages import README, ROOT, blocks
from PIL import Image

from dermssl.errors import UserError
from dermssl.synthetic.dataset import write_dataset
from pictures.__main__ import main

TINY: dict[str, dict[str, object]] = {
    "pretrain": {
        "epochs": 1, "batch_size": 4, "image_size": 64, "cache_size": 64, "precision": "32-true", "threads": 1,
    },
    "finetune": {"steps": 2, "batch_size": 4, "image_size": 64, "cache_size": 64, "threads": 1},
    "probe": {"image_size": 64, "dense_images": [2, 4], "umap": False, "threads": 1},
    "finetune.predict": {"batch_size": 4, "threads": 1},
    "compare": {
        "data": "data/isic2018", "unlabelled": "data/unlabelled", "pretrain": "pretrain.yaml",
        "finetune": "finetune.yaml", "probe": "probe.yaml", "decoder": ["unet"], "label_fraction": [1.0], "seed": [0],
        "jobs": 1,
    },
}  # fmt: skip
METHODS: dict[str, dict[str, object]] = {
    "simclr": {"hidden_dim": 32},
    "moco": {"hidden_dim": 32, "norm_groups": 2, "queue_size": 8},
}
NO_NETWORK = "no weights for"
PLACE = ROOT / "docs" / "pictures"
MOST = 1_500_000  # bytes of all pictures


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dozen drawn images where the README says that images go."""
    place = tmp_path_factory.mktemp("workshop")
    write_dataset(place / "data" / "isic2018", count=12, size=64, seed=0)
    write_dataset(place / "data" / "unlabelled", count=12, size=64, seed=1, masks=False)
    (place / "configs").symlink_to(ROOT / "configs")
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), place / "timm.pth")  # as from another library
    for command in ("pretrain", "finetune", "probe"):
        (place / f"{command}.yaml").write_text(yaml.safe_dump(TINY[command]))
    return place


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_readme_run_as_they_are_printed(workshop: Path) -> None:
    lines = [line for block in blocks(README) for line in block.splitlines() if line.startswith("python -m ")]
    assert lines
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(workshop / "hub"), "DERMSSL_CACHE": ""}
    environment.pop("HTTPS_PROXY", None)
    done: set[str] = set()
    for line in lines:
        words = with_places(shlex.split(line)[2:], workshop)
        if " ".join(words) in done:
            continue
        done.add(" ".join(words))
        arguments = [*words, *tiny(words)]
        ended = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=workshop, env=environment, capture_output=True, text=True
        )
        if "--encoder" in words:  # the hub's weights: here there is no network, and the answer is one sentence
            assert ended.returncode == 2, line
            assert NO_NETWORK in ended.stderr, line
            assert len(ended.stderr.strip().splitlines()) == 1, line
        elif "doctor" in words:  # what it finds is this machine's
            assert ended.returncode in (0, 1), f"{line}\n{ended.stderr}"
        else:
            assert ended.returncode == 0, f"{line}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
    assert list(workshop.glob("checkpoints/*/encoder.safetensors"))
    assert list(workshop.glob("runs/compare/*/report.html"))


def tiny(words: list[str]) -> list[str]:
    """Options that make the command end at once, each an option that it has."""
    options = dict(TINY.get(words[0], {}))
    for method in METHODS.keys() & set(words):
        options |= METHODS[method]
    return [
        word
        for name, value in options.items()
        for word in (f"--{name}", *map(str, value if isinstance(value, list) else [value]))
    ]


def with_places(words: list[str], workshop: Path) -> list[str]:
    """The words with a finished run for RUN, an encoder for FILE, the images for the first DIR, then a new one."""
    runs = sorted(workshop.glob("runs/finetune/*"), key=lambda run: run.stat().st_mtime)
    places = iter([str(workshop / "data" / "unlabelled"), str(workshop / "masks")])
    encoders = sorted(workshop.glob("checkpoints/*/encoder.safetensors"))
    known = {"RUN": runs[-1:], "FILE": [workshop / "timm.pth"] if "import" in words else encoders[:1]}
    return [next(places) if word == "DIR" else str(*known[word]) if word in known else word for word in words]


def test_the_readme_shows_every_picture_on_light_and_on_dark() -> None:
    shown = re.findall(r'(?:src|srcset)="(docs/pictures/[\w-]+\.png)"', README.read_text())
    assert len(shown) >= 6
    assert sorted(shown) == sorted(str(path.relative_to(ROOT)) for path in PLACE.iterdir())
    names = {path.removesuffix("-light.png").removesuffix("-dark.png") for path in shown}
    assert {f"{name}-{scheme}.png" for name in names for scheme in ("light", "dark")} == set(shown)


def test_pictures_are_small_and_those_of_light_and_dark_alike_in_size() -> None:
    assert sum(path.stat().st_size for path in PLACE.iterdir()) < MOST
    sizes = {path.stem: size_of(path) for path in PLACE.glob("*.png")}
    assert [name for name in sizes if sizes[name] != sizes[re.sub("light$", "dark", name)]] == []


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture, pixels."""
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("lacking", ["chromium", "chromedriver"])
def test_a_machine_without_a_browser_is_told_in_one_sentence(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pictures"])
    monkeypatch.setattr(shutil, "which", lambda name: None if name == lacking else name)
    with pytest.raises(UserError, match=rf"drawn by a browser, and {lacking} cannot be found; .*apt-get install"):
        main()

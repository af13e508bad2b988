"""The documents are true: what they link to exists, what they give to type parses, and the README's lines run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import timm
import torch
import yaml

from compare.command_line import parsed
from compare.execution.ledger import COLUMNS as PLAN
from compare.tables.all_tables import ARMS, CONTRASTS
from dermssl import flags
from dermssl.__main__ import with_flag
from dermssl.check.config import CheckConfig
from dermssl.data.manifest import COLUMNS as MANIFEST
from dermssl.download.config import DOWNLOADS
from dermssl.exchange.export_config import ExportConfig as EncoderExportConfig
from dermssl.exchange.import_config import ImportConfig, as_options
from dermssl.scores.counts import SCORES
from dermssl.synthetic.config import SynthesizeConfig
from dermssl.synthetic.dataset import write_dataset
from dermssl.weights.encoder_file import Card
from finetune.export.config import ExportConfig
from finetune.network.model_file import ModelCard
from finetune.options.decoder import Decoder
from finetune.options.run import FinetuneConfig
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.recipes import METHODS, recipe
from probe.config import ProbeConfig

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [
    path for path in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()
]
PAGES = [*DOCUMENTS, ROOT / "benchmarks" / "README.md", ROOT / "checkpoints" / "README.md"]
FOLDERS = ("dermssl", "pretrain", "finetune", "probe", "compare", "configs", "docs", "tests", "notebooks", "benchmarks")
FILLED = {"METHOD": "simclr", "RUN": "run", "DIR": "dir", "FILE": "options.yaml", "NAME": "name"}
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, language: str = "sh") -> list[str]:
    """Fenced blocks of a language, continued lines joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [block.replace("\\\n", " ") for block in found]


def spans(path: Path) -> list[str]:
    """Code between single backticks, outside of fences; one may run over a line's end."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def typed(path: Path) -> list[str]:
    """What a page gives to type: the lines of its `sh` blocks, and code between backticks."""
    return [line.strip() for block in blocks(path) for line in block.splitlines() if line.strip()] + spans(path)


def commands() -> Iterator[Any]:
    for path in DOCUMENTS:
        for line in dict.fromkeys(typed(path)):
            if line.startswith("python -m "):
                yield pytest.param(line, id=f"{path.stem}: {line}")


def table_values(path: Path) -> set[str]:
    """All code between backticks in a page's tables."""
    rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return {span for row in rows for span in re.findall(r"`([^`]+)`", row)}


@every_page
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    near = [link for link in links if not re.match(r"[a-z]+://|data:", link)]
    assert [link for link in near if not (path.parent / link).exists()] == []


@every_page
def test_every_file_that_is_named_exists(path: Path) -> None:
    words = [word for line in typed(path) for word in line.split()]
    named = [word for word in words if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*\w", word)]
    real = [word for word in named if not re.search(r"[A-Z]{3}", word)]
    assert [word for word in real if not (ROOT / word).exists()] == []


@every_page
def test_a_page_names_no_place_of_a_machine_and_no_package_index(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"(?<![\w.:/~])/(?:home|root|work|tmp|Users|mnt)/", text) == []
    assert re.findall(r"index-url|find-links|/simple\b", text) == []


@every_page
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {word for line in typed(path) if line.startswith("make ") for word in line.split()[1:] if "=" not in word}
    assert wanted - targets == set()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with this checkout's configs, and something behind every placeholder."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for folder in ("run", "runs/finetune/run"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.yaml").write_text("# no option\n")
    (tmp_path / "options.yaml").write_text("# no option\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", [*commands()])
def test_every_command_that_is_shown_parses(line: str, checkout: Path) -> None:
    words = [
        re.sub(r"\b[A-Z]{3,}\b", lambda m: FILLED.get(m[0], m[0]), word)
        for word in shlex.split(line, comments=True)[2:]
    ]
    parse(*words)


def parse(module: str, *words: str) -> object:
    """What the module makes of its words; of a program with no options, that it is there."""
    match module:
        case "pretrain":
            return flags.parse_choice(METHODS, "method", module, words)
        case "finetune":
            return flags.parse(FinetuneConfig, module, words)
        case "finetune.predict":
            return flags.parse(PredictConfig, module, words or ["--model=run", "--images=dir", "--out=out"])
        case "finetune.ensemble":
            return flags.parse(EnsembleConfig, module, words or ["--models", "run", "--images=dir", "--out=out"])
        case "finetune.export":
            return flags.parse(ExportConfig, module, words or ["--model=run", "--out=model.onnx"])
        case "finetune.preview":
            return flags.parse(PreviewConfig, module, words)
        case "probe":
            return flags.parse(ProbeConfig, module, words)
        case "compare":
            named = ["demo" if word.endswith("STUDY") else word for word in words]
            return parsed([word for word in named if word != "--help"])
        case "dermssl":
            return parse_dermssl(*words) if words else None
    known = module.startswith("benchmarks.")  # which parse their own
    assert known or not any(word.startswith("-") for word in words), f"nobody knows the options of {module}"
    return (ROOT / f"{module.replace('.', '/')}.py").stat()


def parse_dermssl(command: str, *words: str) -> object:
    """The same for the commands about data."""
    match command:
        case "synthesize":
            return flags.parse(SynthesizeConfig, command, words or ["--out=out"])
        case "download":
            return flags.parse_choice(DOWNLOADS, "name", command, with_flag(words, "name"))
        case "import":
            return flags.parse(ImportConfig, command, as_options(words or ["FILE", "--as", "resnet18"]))
        case "export":
            return flags.parse(EncoderExportConfig, command, with_flag(words or ["FILE", "--to", "timm"], "file"))
        case _:
            assert command == "check"
            return flags.parse(CheckConfig, command, with_flag(words or ["DIR"], "data"))


def test_the_tables_of_the_architecture_name_every_field() -> None:
    wanted = {field.name for card in (Card, ModelCard) for field in fields(card)} | set(SCORES)
    there = table_values(ROOT / "docs" / "architecture.md") | set(spans(ROOT / "docs" / "architecture.md"))
    assert (wanted | set(PLAN)) - there == set()


def test_the_table_of_the_manifest_names_every_column() -> None:
    assert set(MANIFEST) - table_values(ROOT / "docs" / "data.md") == set()


def test_the_tables_of_the_statistics_name_every_column() -> None:
    assert {*CONTRASTS, *ARMS} - set(spans(ROOT / "docs" / "statistics.md")) == set()


TITLES = {
    "simclr": "SimCLR", "moco": "MoCo v2", "mocov3": "MoCo v3", "byol": "BYOL", "simsiam": "SimSiam",
    "barlow_twins": "Barlow Twins", "vicreg": "VICReg", "dino": "DINO", "swav": "SwAV", "densecl": "DenseCL",
    "vicregl": "VICRegL", "decoder": "Decoder",
}  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "config"),
    [*((f"### {TITLES[method]}", recipe(method)()) for method in METHODS), ("## Fine-tuning", FinetuneConfig())],
    ids=[*METHODS, "finetune"],
)
def test_the_defaults_in_the_tables_of_methods_are_the_defaults(heading: str, config: object) -> None:
    text = (ROOT / "docs" / "methods.md").read_text().partition(f"\n{heading}\n")[2]
    section = re.split(r"\n##", text, maxsplit=1)[0]
    compared = 0
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE):
        names = re.findall(r"`(\w+)`", row[0])
        said = [part.replace(" ", "") if re.match(r"[\d ]+$", part) else part.split()[0] for part in row[1].split(", ")]
        for name, value in zip(names, said, strict=False):
            default = getattr(config, name, None)
            if default is not None:
                assert value.lower() == str(default).lower() or float(value) == float(default), name
                compared += 1
    assert compared >= 5


def test_the_decoders_that_are_named_are_those_that_there_are() -> None:
    text = (ROOT / "docs" / "methods.md").read_text().partition("\n## Fine-tuning\n")[2]
    row = re.search(r"^\| `decoder` \| (.*)$", text, re.MULTILINE)
    assert row is not None
    assert set(re.findall(r"[a-z]\w+", row[1])) - {"also", "smp"} == set(get_args(Decoder))


# The README's commands, as they are printed, on a dozen drawn images and with so few steps that they end at once.

TINY: dict[str, dict[str, object]] = {
    "pretrain": {
        "epochs": 1, "batch_size": 4, "image_size": 64, "cache_size": 64, "hidden_dim": 32, "precision": "32-true",
        "threads": 1,
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
MOCO = {"norm_groups": 2, "queue_size": 8}
NO_NETWORK = "no weights for"


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
@pytest.mark.skipif(not README.exists(), reason="there is no README yet")
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
        else:
            assert ended.returncode == 0, f"{line}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
    assert list(workshop.glob("checkpoints/*/encoder.safetensors"))
    assert list(workshop.glob("runs/compare/*/report.html"))


def tiny(words: list[str]) -> list[str]:
    """Options that make the command end at once, each an option that it has."""
    options = TINY.get(words[0], {}) | (MOCO if "moco" in words else {})
    return [word for name, value in options.items() for word in (f"--{name}", *flags.as_arguments(value))]


def with_places(words: list[str], workshop: Path) -> list[str]:
    """The words with a finished run for RUN, an encoder for FILE, the images for the first DIR, then a new one."""
    runs = sorted(workshop.glob("runs/finetune/*"), key=lambda run: run.stat().st_mtime)
    places = iter([str(workshop / "data" / "unlabelled"), str(workshop / "masks")])
    encoders = sorted(workshop.glob("checkpoints/*/encoder.safetensors"))
    known = {"RUN": runs[-1:], "FILE": [workshop / "timm.pth"] if "import" in words else encoders[:1]}
    return [next(places) if word == "DIR" else str(*known[word]) if word in known else word for word in words]

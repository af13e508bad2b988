"""Every command that a document gives to type is one, with options that it has."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import DOCUMENTS, ROOT, typed

from compare.command_line import parsed_command
from compare.publish.config import PublishConfig
from dermssl import flags
from dermssl.__main__ import with_flag
from dermssl.check.config import CheckConfig
from dermssl.doctor.run import OPTIONS
from dermssl.download.config import DOWNLOADS
from dermssl.exchange.export_config import ExportConfig as EncoderExportConfig
from dermssl.exchange.import_config import ImportConfig, as_options
from dermssl.synthetic.config import SynthesizeConfig
from finetune.export.config import ModelExportConfig
from finetune.options.config import FinetuneConfig
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.known_methods import METHODS
from probe.config import ProbeConfig
from probe.embed.config import EmbedConfig

FILLED = {"METHOD": "simclr", "RUN": "run", "DIR": "dir", "FILE": "options.yaml", "NAME": "name"}


def commands() -> Iterator[Any]:
    for path in DOCUMENTS:
        for line in dict.fromkeys(typed(path)):
            if line.startswith("python -m "):
                yield pytest.param(line, id=f"{path.stem}: {line}")


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
            return flags.parse(ModelExportConfig, module, words or ["--model=run", "--out=model.onnx"])
        case "finetune.preview":
            return flags.parse(PreviewConfig, module, words)
        case "probe":
            return flags.parse(ProbeConfig, module, ["--init" if word == "--from" else word for word in words])
        case "probe.embed":
            return flags.parse(EmbedConfig, module, words or ["--out=features.parquet"])
        case "compare":
            named = ["demo" if word.endswith("STUDY") else word for word in words]
            return parsed_command([word for word in named if not word.startswith("--help")])
        case "compare.publish":
            return flags.parse(PublishConfig, module, words)
        case "dermssl":
            return parse_dermssl(*words) if words else None
    known = module.startswith("benchmarks.")  # which parse their own
    assert known or not any(word.startswith("-") for word in words), f"nobody knows the options of {module}"
    place = ROOT / module.replace(".", "/")
    return next(path for path in (place.with_suffix(".py"), place / "__main__.py") if path.is_file())


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
        case "doctor":
            assert {*words} <= {*OPTIONS}
            return None
        case _:
            assert command == "check"
            return flags.parse(CheckConfig, command, with_flag(words or ["DIR"], "data"))

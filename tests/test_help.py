"""`--help` answers without a heavy library, and says every option with its docstring."""

import ast
import dataclasses
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compare.publish.config import PublishConfig
from compare.study.config import StudyConfig
from dermssl.check.config import CheckConfig
from dermssl.download.config import Ham10000Config, Isic2018Config, IsicArchiveConfig
from dermssl.exchange.export_config import ExportConfig as EncoderExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.help.groups import usual_options
from dermssl.synthetic.config import SynthesizeConfig
from finetune.export.config import ModelExportConfig
from finetune.options.config import FinetuneConfig
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.recipes import MoCoConfig, SimCLRConfig
from probe.config import ProbeConfig
from probe.embed.config import EmbedConfig

ROOT = Path(__file__).parents[1]
CONFIGS = {
    "pretrain": SimCLRConfig,
    "pretrain --method moco": MoCoConfig,
    "finetune": FinetuneConfig,
    "finetune.predict": PredictConfig,
    "finetune.ensemble": EnsembleConfig,
    "finetune.export": ModelExportConfig,
    "finetune.preview": PreviewConfig,
    "probe": ProbeConfig,
    "probe.embed": EmbedConfig,
    "compare": StudyConfig,
    "compare.publish": PublishConfig,
    "dermssl synthesize": SynthesizeConfig,
    "dermssl download isic2018": Isic2018Config,
    "dermssl download ham10000": Ham10000Config,
    "dermssl download isic-archive": IsicArchiveConfig,
    "dermssl check": CheckConfig,
    "dermssl import": ImportConfig,
    "dermssl export": EncoderExportConfig,
}
HEAVY = (
    "torch", "torchvision", "albumentations", "segmentation_models_pytorch", "umap", "pytorch_lightning", "timm",
    "lightly", "cv2", "pandas", "sklearn", "faiss", "matplotlib", "numba",
)  # fmt: skip
DRIVER = f"""
import contextlib, io, json, runpy, sys
answers = {{}}
for line in {[f"{command} --help{whole}" for command in [*CONFIGS, "dermssl"] for whole in ("", "-all")]!r}:
    name, *words = line.split()
    sys.argv = [name, *words]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    answers[line] = [said.getvalue(), [heavy for heavy in {HEAVY!r} if heavy in sys.modules]]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[str, list[str]]]:
    """What each command says to --help, and which heavy libraries it has imported by then; all in one process."""
    done = subprocess.run([sys.executable, "-c", DRIVER], capture_output=True, text=True, check=True, cwd=ROOT)
    return dict(json.loads(done.stdout))


def docstrings(config: type) -> dict[str, str]:
    """The docstring under each field, those of a subclass above those that it inherits."""
    found: dict[str, str] = {}
    for ancestor in reversed(config.__mro__[:-1]):
        body = ast.parse(inspect.getsource(ancestor)).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            is_doc = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_doc:
                found[field.target.id] = str(below.value.value)
    return found


def letters(text: str) -> str:
    """What is left of a text however it is wrapped and framed."""
    return re.sub(r"[^a-zA-Z0-9]", "", text)


@pytest.mark.parametrize("command", [*CONFIGS, "dermssl"])
def test_help_answers_without_a_heavy_library(command: str, answers: dict[str, tuple[str, list[str]]]) -> None:
    said, heavy = answers[f"{command} --help"]
    assert said.startswith("usage:")
    assert heavy == []


@pytest.mark.parametrize("command", CONFIGS)
def test_help_says_every_option_with_its_docstring(command: str, answers: dict[str, tuple[str, list[str]]]) -> None:
    said, config = answers[f"{command} --help-all"][0], CONFIGS[command]
    documents = docstrings(config)
    options = [field.name for field in dataclasses.fields(config)]
    assert [option for option in options if not re.search(rf"--{option}[ /]", said)] == []
    assert [option for option in options if option not in documents and option != "method"] == []
    assert [option for option, text in documents.items() if letters(text) not in letters(said)] == []


@pytest.mark.parametrize("command", ["pretrain", "pretrain --method moco"])
def test_help_says_which_methods_there_are(command: str, answers: dict[str, tuple[str, list[str]]]) -> None:
    assert "method: simclr, moco" in answers[f"{command} --help"][0]


@pytest.mark.parametrize("command", CONFIGS)
def test_help_shows_the_usual_options_and_says_how_many_there_are(
    command: str, answers: dict[str, tuple[str, list[str]]]
) -> None:
    said, config = answers[f"{command} --help"][0], CONFIGS[command]
    names, usual = [field.name for field in dataclasses.fields(config)], usual_options(config)
    assert [name for name in names if re.search(rf"^  --{name}[ /]", said, re.MULTILINE)] == [
        name for name in names if name in usual
    ]
    last = said.splitlines()[-1]
    assert (last == f"These are the usual options; --help-all shows all {len(names)}.") == (len(usual) < len(names))

"""The tables of the documents say what the code says: every field, column, default and decoder."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from pages import ARCHITECTURE, DOCS, ROOT, rows, spans, table_values

from compare.execution.ledger import Event
from compare.study.config import StudyConfig
from compare.study.factors import PLAN_COLUMNS
from compare.study.plan import tasks_of
from compare.tables.all_tables import ARMS, CONTRASTS
from dermssl import flags
from dermssl.data.manifest import COLUMNS as MANIFEST
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.scores.counts import SCORES
from dermssl.weights.encoder_file import EncoderCard
from finetune.network.model_file import ModelCard
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import Decoder
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.known_methods import METHODS, recipe_of


def test_the_tables_of_the_architecture_name_every_field() -> None:
    wanted = {field.name for card in (EncoderCard, ModelCard) for field in fields(card)} | set(SCORES)
    there = table_values(ARCHITECTURE) | set(spans(ARCHITECTURE))
    assert (wanted | set(PLAN_COLUMNS)) - there == set()


def test_the_events_of_a_study_are_named_where_its_history_is_told() -> None:
    for page in (ARCHITECTURE, DOCS / "studies.md"):
        events = re.search(r"(began, [\w,\s]*)", page.read_text())
        assert events is not None
        assert set(re.findall(r"\w+", events[1])) == set(get_args(Event))


def test_the_shipped_studies_have_as_many_fine_tunings_as_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told: dict[str, int] = {}
    for names, _, counts in (row for row in rows(DOCS / "studies.md") if re.fullmatch(r"\d+(, \d+)*", row[-1])):
        studies, numbers = re.findall(r"`(\w+)`", names), [int(count) for count in counts.split(", ")]
        told |= dict(zip(studies, numbers * (len(studies) if len(numbers) == 1 else 1), strict=True))
    assert told == {path.stem: fine_tunings(path) for path in (ROOT / "configs" / "compare").glob("*.yaml")}


def fine_tunings(path: Path) -> int:
    study = flags.parse(StudyConfig, "test", ["--config", str(path)])
    return sum(task.stage == "finetune" for task in tasks_of(study, threads=1))


@pytest.mark.parametrize(
    ("page", "config"),
    [
        ("encoders.md", ImportConfig), ("encoders.md", ExportConfig),
        ("finetuning.md", PredictConfig), ("finetuning.md", EnsembleConfig), ("finetuning.md", PreviewConfig),
    ],
)  # fmt: skip
def test_a_page_tells_of_every_option_of_its_commands(page: str, config: type[Any]) -> None:
    text = (DOCS / page).read_text()
    assert [option.name for option in fields(config) if not re.search(rf"--{option.name}\b", text)] == []


def test_the_table_of_the_manifest_names_every_column() -> None:
    assert set(MANIFEST) - table_values(DOCS / "data.md") == set()


def test_the_tables_of_the_statistics_name_every_column() -> None:
    assert {*CONTRASTS, *ARMS} - set(spans(DOCS / "statistics.md")) == set()


TITLES = {
    "simclr": "SimCLR", "moco": "MoCo v2", "mocov3": "MoCo v3", "byol": "BYOL", "simsiam": "SimSiam",
    "barlow_twins": "Barlow Twins", "vicreg": "VICReg", "dino": "DINO", "swav": "SwAV", "densecl": "DenseCL",
    "vicregl": "VICRegL", "decoder": "Decoder", "decon": "DeCon",
    "distill": "Distillation", "spark": "SparK",
}  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "config"),
    [*((f"### {TITLES[method]}", recipe_of(method)()) for method in METHODS), ("## Fine-tuning", FinetuneConfig())],
    ids=[*METHODS, "finetune"],
)
def test_the_defaults_in_the_tables_of_methods_are_the_defaults(heading: str, config: object) -> None:
    text = (DOCS / "methods.md").read_text().partition(f"\n{heading}\n")[2]
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
    text = (DOCS / "methods.md").read_text().partition("\n## Fine-tuning\n")[2]
    row = re.search(r"^\| `decoder` \| (.*)$", text, re.MULTILINE)
    assert row is not None
    assert set(re.findall(r"[a-z]\w+", row[1])) - {"also", "smp"} == set(get_args(Decoder))

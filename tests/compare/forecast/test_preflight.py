"""What would stop a run of a study, said before the first one."""

from pathlib import Path

import pytest

from compare.forecast.preflight import logger_faults
from compare.study.config import StudyConfig
from compare.study.plan import tasks_of
from dermssl.training import logger_config


def test_a_logger_without_its_package_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f.yaml").write_text("logger: mlflow\n")
    study = StudyConfig(finetune=tmp_path / "f.yaml", search="grid")
    monkeypatch.setattr(logger_config, "find_spec", lambda _: None)
    (sentence,) = set(logger_faults(study, None, tasks_of(study, 1)))
    assert sentence.endswith("type pip install 'dermssl[mlflow]', or leave it out")

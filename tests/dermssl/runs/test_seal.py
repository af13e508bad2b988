"""The seal of a finished run: a hash of every file that its result rests on, so that a later change is seen."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dermssl.runs import folder
from dermssl.runs.folder import identity, open_run
from dermssl.runs.seal import broken, hashes
from finetune.options.config import FinetuneConfig

FILES = ("model.safetensors", "scores.parquet", "tables/calibration.csv")


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(out=tmp_path / "runs")


@pytest.fixture
def finished(config: FinetuneConfig) -> Path:
    """A run as a command leaves it, with files that may change afterwards and files that may not."""
    with open_run(config, "unet-ssl", identity(config, config.ELSEWHERE)) as work:
        for name in (*FILES, "figures/curves.png", "checkpoints/step-9/state.ckpt", ".part-1-x"):
            (work.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (work.folder / name).write_bytes(name.encode())
        work.say("before")
        work.finish({"jaccard": 0.5, "missing": float("nan")})
        work.say("after")
    return work.folder


def test_a_run_is_whole_as_it_was_left(finished: Path) -> None:
    assert broken(finished) == []


def test_the_seal_names_every_file_that_the_result_rests_on_with_its_hash(finished: Path) -> None:
    sealed = json.loads((finished / "seal.json").read_text())["files"]
    assert set(sealed) == {"config.yaml", "environment.json", "identity.json", "result.json", *FILES}
    for name, known in sealed.items():
        assert known == hashlib.sha256((finished / name).read_bytes()).hexdigest()
    assert hashes(finished) == {name: known for name, known in sealed.items() if name != "result.json"}


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def mend_by_hand(file: Path) -> None:
    file.write_text(file.read_text().replace("0.5", "0.9"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scores.parquet", flip_a_bit),
        ("tables/calibration.csv", flip_a_bit),
        ("config.yaml", flip_a_bit),
        ("result.json", mend_by_hand),
        ("model.safetensors", Path.unlink),
    ],
    ids=["a flipped bit", "a flipped bit below", "another config", "a better result", "a removed model"],
)
def test_a_file_that_is_changed_or_gone_is_named(name: str, change: Callable[[Path], None], finished: Path) -> None:
    change(finished / name)
    assert broken(finished) == [name]


def test_all_that_differ_are_named(finished: Path) -> None:
    flip_a_bit(finished / "scores.parquet")
    (finished / "model.safetensors").unlink()
    mend_by_hand(finished / "result.json")
    assert broken(finished) == ["model.safetensors", "result.json", "scores.parquet"]


@pytest.mark.parametrize("name", ["log.txt", "figures/curves.png"])
def test_what_the_result_does_not_rest_on_may_change(name: str, finished: Path) -> None:
    (finished / name).unlink()
    assert broken(finished) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"files": 3}', '{"files": {"a"'], ids=repr)
def test_a_seal_that_cannot_be_read_is_broken_itself(content: str, finished: Path) -> None:
    (finished / "seal.json").write_text(content)
    assert broken(finished) == ["seal.json"]


def test_a_finished_run_without_a_seal_lacks_it(finished: Path) -> None:
    (finished / "seal.json").unlink()
    assert broken(finished) == ["seal.json"]


def test_an_unfinished_run_has_nothing_to_break(config: FinetuneConfig, finished: Path) -> None:
    (finished / "result.json").unlink()  # killed between the seal and the result
    (finished / "model.safetensors").unlink()
    assert broken(finished) == []
    assert broken(config.out / "no such run") == []


def test_the_seal_stands_before_the_result(config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "write_text", killed)
    with (
        pytest.raises(KeyboardInterrupt),
        open_run(config, "unet-ssl", identity(config, config.ELSEWHERE)) as work,
    ):
        work.finish({"jaccard": 0.5})
    assert (work.folder / "seal.json").exists()
    assert work.result is None


def test_a_run_that_was_killed_between_seal_and_result_is_sealed_anew(config: FinetuneConfig, finished: Path) -> None:
    (finished / "result.json").unlink()
    with open_run(
        replace(config, resume=finished), "unet-ssl", identity(config, config.ELSEWHERE), standing_is_fine=True
    ) as work:
        flip_a_bit(finished / "scores.parquet")  # scored once more
        work.finish({"jaccard": 0.6})
    assert broken(finished) == []

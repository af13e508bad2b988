"""Commands that are started twenty times at once: one does the work, the others say so, and the result is whole."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faults.drawn_set import draw_set
from faults.tally import Tally, tallied, trials

import pretrain.run
from dermssl.errors import UserError
from pretrain.recipes import SimCLRConfig

STARTS = 20
TINY = {"encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "threads": 1}


def child(work: Callable[[], object], said: Path, gate: int) -> int:
    """A process that waits for the gate to be closed, does the work, and leaves its sentence."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with said.open("w") as stream:
            os.dup2(stream.fileno(), 1)
        os.read(gate, 1)
        work()
        code = 0
    except UserError as error:
        said.write_text(str(error))
        code = 2
    except BaseException as error:
        said.write_text(f"Traceback {error!r}")
    finally:
        sys.stdout.flush()
        os._exit(code)


def started_together(count: int, work: Callable[[], object], place: Path, tally: Tally, *words: str) -> list[int]:
    """Starts the work `count` times at once; counts who won and who said why not."""
    gate, closing = os.pipe()
    place.mkdir(parents=True)
    logs = [place / f"{number}.txt" for number in range(count)]
    processes = [child(work, log, gate) for log in logs]
    os.write(closing, b"x" * count)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    for code, log in zip(codes, logs, strict=True):
        if code == 0:
            tally.right += 1
        else:
            tally.told(log.read_text(), *words)
    os.close(gate)
    os.close(closing)
    return codes


@pytest.mark.slow  # forks beside the threads of other tests
def test_double_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    draw_set(tmp_path / "set")
    starts = trials(whole=STARTS, sample=4)
    config = SimCLRConfig(**TINY, data=tmp_path / "set", out=tmp_path / "runs", checkpoints=None, epochs=1,
                          batch_size=4, precision="32-true", warmup=0.0, hidden_dim=16, projection_dim=8)  # fmt: skip
    with tallied("concurrency") as tally:
        codes = started_together(
            starts, lambda: pretrain.run.run(config), tmp_path / "alone", tally, "runs/simclr-random-"
        )
        assert codes.count(0) == 1, codes
        waiting = replace(config, out=tmp_path / "waited")
        codes = started_together(
            starts, lambda: pretrain.run.run(waiting, standing_is_fine=True), tmp_path / "together", tally
        )
        assert set(codes) == {0}, codes
        assert len(list((tmp_path / "waited").glob("*/result.json"))) == 1

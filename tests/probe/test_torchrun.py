"""`torchrun -m probe` ends with what one process ends with; its processes share the pictures."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermssl import flags
from probe.config import ProbeConfig
from probe.run import run


@pytest.mark.slow
def test_two_processes_share_the_pictures_of_a_probe(
    dozen: Path,
    torchrun: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "data": dozen, "init": "random", "encoder": "tu-test_efficientnet", "image_size": 64, "k": 3, "umap": False,
        "dense_images": (4, 50), "sheets": False, "explorer": False, "threads": 1, "val_fraction": 0.34, "limit": 11,
        "split_seed": 2,
    }  # fmt: skip
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache of one"))
    one = run(ProbeConfig(**options, out=tmp_path / "one"))  # type: ignore[arg-type]
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache of two"))
    written = tmp_path / "options.yaml"
    flags.write_options(ProbeConfig(**options, out=tmp_path / "two"), written)  # type: ignore[arg-type]
    done = torchrun("probe", "--config", written)
    assert done.returncode == 0, done.stderr
    two = tmp_path / "two" / one.name
    pd.testing.assert_frame_equal(pd.read_parquet(two / "scores.parquet"), pd.read_parquet(one / "scores.parquet"))
    found, expected = (json.loads((folder / "result.json").read_text()) for folder in (two, one))
    assert found["encoders"] == expected["encoders"]
    features = [next((tmp_path / f"cache of {which}").rglob("features-*.npy")) for which in ("one", "two")]
    assert np.array_equal(np.load(features[0]), np.load(features[1]))
    assert done.stdout.count("images: 11 from") == 1

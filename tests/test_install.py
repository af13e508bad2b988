"""The installation is told what pip is told, takes CUDA out of the lock on demand, and says why it failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
import install  # noqa: E402 - a file of the checkout, and no package

LISTING = """:env:.cert='/etc/own/ca.pem'
global.cert='/etc/ssl/ca.pem'
global.index-url='https://index.example/simple'
install.timeout='60'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
download.index-url='https://never.example/simple'
"""


def test_pips_settings_reach_uv_and_variables_stand_above_files() -> None:
    settings = install.read_settings(LISTING)
    told = install.uv_environment(settings, {})
    assert told["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert told["SSL_CERT_FILE"] == "/etc/own/ca.pem"
    assert told["UV_HTTP_TIMEOUT"] == "60"
    assert told["UV_SYSTEM_CERTS"] == told["UV_NATIVE_TLS"] == "true"
    assert "UV_INDEX" not in told


def test_further_indexes_are_asked_only_when_told_so_and_then_as_pip_asks_them() -> None:
    told = install.uv_environment(install.read_settings(LISTING), {}, others=True)
    assert told["UV_INDEX"] == "https://a.example/simple https://b.example/simple"
    assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_what_uv_was_told_already_stays() -> None:
    told = install.uv_environment({"index-url": "https://pip.example"}, {"UV_DEFAULT_INDEX": "https://uv.example"})
    assert "UV_DEFAULT_INDEX" not in told


def test_the_lock_without_cuda_has_every_other_package_with_its_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    torch, others = install.without_cuda(lock)
    assert [name.partition("==")[0] for name in torch] == ["torch", "torchvision"]
    names = {line.partition("==")[0] for line in others.splitlines() if line[:1].isalpha()}
    every = {line.partition("==")[0] for line in lock.splitlines() if line[:1].isalpha()}
    gone = every - names
    assert {"torch", "torchvision", "triton"} <= gone
    assert all(name.startswith(("nvidia-", "cuda-")) for name in gone - {"torch", "torchvision", "triton"})
    assert {"timm", "lightly", "numpy"} <= names
    assert others.count("--hash=") > 1000


def test_the_oldest_versions_are_those_of_pyproject_and_no_pin_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    _, oldest, tools, editable = install.commands("python", tmp_path, cpu=False, lowest=True)
    assert oldest[-5:] == ["--no-config", "--resolution", "lowest-direct", "-r", "pyproject.toml"]
    assert tools[-4:] == ["--group", "dev", "--override", str(tmp_path / "overrides.txt")]
    assert "zipfile-deflate64" in (tmp_path / "overrides.txt").read_text()
    assert editable[-3:] == ["--no-deps", "--editable", "."]


def test_without_cuda_torch_comes_first_and_nothing_of_it_is_asked_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    _, torch, others, _ = install.commands("python", tmp_path, cpu=True)
    assert torch[torch.index("--torch-backend") + 1] == "cpu"
    assert "--no-deps" in torch
    assert "--require-hashes" in others
    assert not install.without_cuda((tmp_path / "cpu.lock").read_text())[0]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("error: invalid peer certificate: UnknownIssuer", "signs TLS with a certificate that is not known here"),
        ("error: Failed to fetch: `https://i` Caused by: dns error: failed to lookup address", "does not answer"),
        ("error: No space left on device (os error 28)", "the disk is full"),
        ("HTTP status client error (403 Forbidden) for url", "refuses this machine"),
        ("error: Hash mismatch for `timm==1.0`", "another file than the lock file names"),
        ("Because there is no version of timm==9.9", "does not have a version that the lock file names"),
        ("something else", "failed, for the reason above"),
    ],
)
def test_a_failure_names_its_cause(text: str, cause: str) -> None:
    assert cause in install.explanation(text, ["uv", "pip", "install"])


@pytest.mark.slow
def test_an_index_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    variables = {
        **os.environ,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
    }
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        variables.pop(name, None)
    done = subprocess.run(
        [sys.executable, ROOT / "install.py", "--venv", tmp_path / "env"], env=variables, cwd=ROOT, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("make setup: the package index does not answer")

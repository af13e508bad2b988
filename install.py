"""Installs the locked versions into .venv, from the index and by the certificates that pip of this machine is told.

    python3 install.py          what `make setup` does
    python3 install.py --cpu    with torch's build for the CPU alone, without 3 GB of CUDA libraries
    python3 install.py --lowest --venv build/lowest     not the lock, but the oldest versions that pyproject.toml allows

pip alone can pair a torch with a torchvision that does not fit it; uv installs exactly what the lock file says, but it
reads no pip.conf, and brings certificates of its own, which a hospital's network that signs TLS anew does not match.
Needs nothing but Python's standard library.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
LOCK = "requirements.lock"
CUDA = re.compile(r"^(nvidia-|cuda-|triton\b)")  # what torch's build for the CPU does without
OF_TORCH = re.compile(r"^(torch|torchvision)==")
UV_OF_PIP = {  # a setting of pip -> the variables by which uv is told the same
    "index-url": ("UV_DEFAULT_INDEX",),
    "extra-index-url": ("UV_INDEX",),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "timeout": ("UV_HTTP_TIMEOUT",),
}
OTHERS = {"extra-index-url", "find-links"}  # where else pip looks
CAUSES = (  # what uv and pip write -> what that means, and what helps
    (r"UnknownIssuer|CERTIFICATE_VERIFY_FAILED|invalid peer certificate",
     "the network signs TLS with a certificate that is not known here",
     "put your institution's root certificate into the system's store, or give its file as PIP_CERT=FILE"),
    (r"403 Forbidden|401 Unauthorized|Forbidden|Unauthorized",
     "the package index refuses this machine",
     "give the index with user and token as PIP_INDEX_URL, or ask who runs it"),
    (r"No space left|os error 28",
     "the disk is full", "free 8 GB in this folder and in uv's cache (UV_CACHE_DIR puts that elsewhere)"),
    (r"hash mismatch|Hash mismatch|DO NOT MATCH THE HASHES",
     "the index gives another file than the lock file names",
     "ask who runs the index; a mirror that repacks wheels cannot serve a lock file with hashes"),
    (r"dns error|failed to lookup|Name or service not known|Temporary failure in name resolution|Connection refused|"
     r"from versions: none|Failed to fetch|tcp connect error|timed out|Network is unreachable|ConnectTimeout|"
     r"NewConnectionError",
     "the package index does not answer",
     "look at the network, name a proxy as HTTPS_PROXY, or an index that is near as PIP_INDEX_URL"),
    (r"not found in the package registry|No solution found|No matching distribution|there is no version of",
     "the package index does not have a version that the lock file names",
     "give an index that mirrors all of PyPI as PIP_INDEX_URL, or `make lock` with this one"),
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Installs; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="folder of the environment")
    parser.add_argument("--cpu", action="store_true", help="torch for the CPU alone")
    parser.add_argument("--lowest", action="store_true", help="the oldest versions that pyproject.toml allows")
    options = parser.parse_args(words)
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        here = ".".join(map(str, sys.version_info[:2]))
        return failed(f"dermssl needs Python 3.11 to 3.13, and this is {here}; try: make setup PYTHON=python3.11")
    python = options.venv / "bin" / "python"
    if not python.exists():
        venv.create(options.venv, with_pip=True)
    settings = pip_settings(str(python))
    for command in commands(str(python), options.venv, cpu=options.cpu, lowest=options.lowest):
        # The first index has all that the lock file names; others may have other builds of the same versions.
        attempts = [run(command, uv_environment(settings, os.environ))]
        if attempts[0].returncode and OTHERS & settings.keys():
            attempts.append(run(command, uv_environment(settings, os.environ, others=True)))
        if attempts[-1].returncode:
            sys.stderr.write(attempts[0].stderr)
            return failed(explanation(attempts[0].stderr + attempts[0].stdout, command))
    return 0


def run(command: Sequence[str], told: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """One step of the installation, by these variables."""
    return subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False)


def failed(sentence: str) -> int:
    """Says why nothing was installed."""
    print(f"make setup: {sentence}", file=sys.stderr)
    return 1


def commands(python: str, folder: Path, *, cpu: bool, lowest: bool = False) -> list[list[str]]:
    """What is run, one after the other."""
    uv = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    locked = [[*uv, "--require-hashes", "-r", LOCK]]
    if lowest:
        folder.mkdir(parents=True, exist_ok=True)
        import tomllib  # of Python 3.11, which an older one is to be told of in a sentence

        overrides = folder / "overrides.txt"
        settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
        overrides.write_text("\n".join(settings["override-dependencies"]), encoding="utf-8")
        free = [*uv, "--no-config", *(["--torch-backend", "cpu"] if cpu else [])]  # without its pins of torch
        locked = [
            [*free, "--resolution", "lowest-direct", "-r", "pyproject.toml"],
            [*free, "--group", "dev", "--override", str(overrides)],  # what tests need moves what it must and no more
        ]
    elif cpu:
        folder.mkdir(parents=True, exist_ok=True)
        torch, others = without_cuda(Path(LOCK).read_text(encoding="utf-8"))
        file = folder / "cpu.lock"
        file.write_text(others, encoding="utf-8")
        # The builds for the CPU are other files than the lock names, so these two come without hashes.
        locked = [
            [*uv, "--torch-backend", "cpu", "--no-deps", *torch],
            [*uv, "--require-hashes", "--no-deps", "-r", str(file)],
        ]
    return [
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv>=0.7"],
        *locked,
        [*uv, "--no-deps", "--editable", "."],
    ]


def without_cuda(lock: str) -> tuple[list[str], str]:
    """The versions of torch that a lock file names, and the lock without them and without CUDA's libraries."""
    entries = re.split(r"\n(?=\S)", lock)
    torch = [re.split(r"[ ;\\]", entry)[0] for entry in entries if OF_TORCH.match(entry)]
    others = [entry for entry in entries if not OF_TORCH.match(entry) and not CUDA.match(entry)]
    return torch, "\n".join(others)


def pip_settings(python: str) -> dict[str, str]:
    """What pip is configured with, by files and by variables."""
    asked = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return read_settings(asked.stdout)


def read_settings(listing: str) -> dict[str, str]:
    """The settings in what `pip config list` writes: of all commands, above them of `install`, above them variables."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        match = re.fullmatch(r"(:env:|\w+)\.([\w-]+)=(.*)", line.strip())
        if match and match[1] in found:
            words = shlex.split(match[3].replace("\\n", " "))
            found[match[1]][match[2]] = " ".join(word.strip() for word in words).strip()
    return found["global"] | found["install"] | found[":env:"]


def uv_environment(
    settings: Mapping[str, str], environment: Mapping[str, str], *, others: bool = False
) -> dict[str, str]:
    """The variables by which uv does as pip would; those that are set already stay.

    Args:
        settings: Of pip.
        environment: The variables as they are.
        others: Whether to look into pip's further indexes and folders as well.
    """
    wanted = {setting: value for setting, value in settings.items() if value and (others or setting not in OTHERS)}
    told = {name: value for setting, value in wanted.items() for name in UV_OF_PIP.get(setting, ())}
    told |= {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}  # as newer and older versions call it
    if "UV_INDEX" in told:  # pip takes the best of all indexes, uv the first that has the package
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in told.items() if name not in environment}


def explanation(text: str, command: Sequence[str]) -> str:
    """What a failed installation means, and what helps."""
    for pattern, cause, remedy in CAUSES:
        if re.search(pattern, text):
            return f"{cause}; {remedy}"
    return f"`{shlex.join(command)}` failed, for the reason above"


if __name__ == "__main__":
    raise SystemExit(main())

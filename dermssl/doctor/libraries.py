"""What became of the libraries as another process imported them: broken, ended by a signal, hanging, or well."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.doctor.trial import MARK, NEEDED, Facts
from dermssl.doctor.versions import own_requirements, reinstalling
from dermssl.errors import cut, in_one_line
from dermssl.wording import counted, duration

PATIENCE = 120.0  # seconds: the libraries take 5 from a warm disk, and 60 from a cold one under load
STEPS = 2.0  # seconds of a core, which an import that waits for something does not take
START = f"""
import json, signal, sys
signal.alarm({PATIENCE + 10:.0f})  # where the doctor was stopped meanwhile, nobody else ends an import that hangs
sys.path[:] = json.loads(sys.argv[1])
from dermssl.doctor.trial import try_libraries
try_libraries()
"""
PACKAGES = {  # where the package is called otherwise than what is imported
    "cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "faiss": "faiss-cpu",
    "yaml": "pyyaml", "segmentation_models_pytorch": "segmentation-models-pytorch",
    "pytorch_lightning": "pytorch-lightning", "cuda": "torch",
}  # fmt: skip
KNOWN = {
    r"torchvision::nms does not exist": "torch and torchvision do not belong together",
    r"libGL|libgthread|libSM|libXext": "this build of OpenCV needs libraries of a screen; the headless one does not",
    r"compiled using NumPy 1|numpy\.core\.multiarray failed|_ARRAY_API|dtype size changed": "it was built for another "
    "version of numpy",
    r"undefined symbol|cannot open shared object": "its parts come from different builds, or a library of the system "
    "is missing",
    r"GLIBC": "it was built for a newer Linux than this one",
    r"[Aa]llocate|out of memory|MemoryError": "the memory, or what `ulimit -v` allows, was too little",
    r"No module named": "a part of it is missing: its installation was stopped half-way, or a file of the same name "
    "lies in this folder",
}


@dataclass(frozen=True)
class ImportTrial:
    """How far a process came that imported the libraries one after another."""

    facts: dict[str, Facts] = field(default_factory=dict)
    """Of each library that has ended well or with an error: its version, its file, its error."""
    begun: str = ""
    """The library that was begun last."""
    whole: bool = False
    """Whether the process came to its end."""
    code: int | None = 0
    """Exit code, negative for a signal; None where it had to be stopped."""
    words: str = ""
    """What the libraries printed."""
    complaint: str = ""
    """The end of what they wrote to the standard error."""
    seconds: float = 0.0
    computed: float = 0.0
    """Seconds of a core that the process got."""


@cache
def import_trial() -> ImportTrial:
    """Imports the libraries in another process, once."""
    start, computed = time.perf_counter(), seconds_of_children()
    process = subprocess.Popen(
        [sys.executable, "-c", START, json.dumps(sys.path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    code: int | None
    try:
        said, complained = process.communicate(timeout=PATIENCE)
        code = process.returncode
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if code is None:
        said, complained = process.communicate()
    trial = read_trial(said.decode(errors="replace"), complained.decode(errors="replace"), code)
    return replace(trial, seconds=time.perf_counter() - start, computed=seconds_of_children() - computed)


def seconds_of_children() -> float:
    """Seconds of a core that the processes got which this one has begun and which have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_trial(said: str, complained: str, code: int | None) -> ImportTrial:
    """The trial from what its process has said and how it ended."""
    facts: dict[str, Facts] = {}
    begun, whole = "", False
    lines = said.splitlines()
    for line in lines:
        if line.startswith(MARK):
            answer = json.loads(line.removeprefix(MARK))
            begun, whole = answer.get("begins", begun), whole or "ends" in answer
            facts |= {answer["name"]: answer} if "name" in answer else {}
    words = "\n".join(line for line in lines if line and not line.startswith(MARK))
    return ImportTrial(facts, begun, whole, code, words, last_words(complained))


def last_words(text: str) -> str:
    """The last line of a text that is not empty, in which a traceback says what it is about."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def examine_libraries() -> Iterator[Observation]:
    """The libraries as they were imported."""
    trial = import_trial()
    broken = {name: str(facts["error"]) for name, facts in trial.facts.items() if "error" in facts}
    for name, error in broken.items():
        yield fault(shown_name(name), error_in_words(name, error), remedy_of(name))
    if not trial.whole and trial.begun not in broken:
        yield ended_early(trial)
    elif trial.whole and trial.code:
        text = f"The libraries can be imported, but a process that did so ends badly ({ending(trial)})."
        yield fault("libraries", text, remedy_of("torch"))
    if trial.begun in broken and trial.begun in NEEDED:
        yield note("libraries", f"The others were not tried, for they need {trial.begun}: mend that first.")
    if trial.words:
        text = f"They print as they are imported: '{in_one_line(cut(trial.words.strip()))}'."
        yield note("libraries", text, "find who prints: a file of the same name in this folder, or a sitecustomize.py")
    well = [name for name in trial.facts if name not in broken and name != "cuda"]
    if trial.whole and not broken and not trial.code:
        yield good("libraries", f"{counted(len(well), 'library', 'libraries')} imported in {duration(trial.seconds)}.")


def ended_early(trial: ImportTrial) -> Observation:
    """What is said of a process that did not come to its end."""
    if not trial.begun:
        text = f"A second Python could not be started ({ending(trial)})."
        return fault("libraries", text, "python -c 'print(1)'")
    name = shown_name(trial.begun)
    if trial.code is None and STEPS < trial.computed < trial.seconds / 2:
        text = (
            f"The libraries were still being imported after {duration(trial.seconds)} ({trial.begun}), in which they "
            f"got {duration(trial.computed)} of a core: the machine is busy."
        )
        return note(name, text, "top, and end what is not needed; then ask again")
    what = "asking torch for the GPUs" if trial.begun == "cuda" else f"`import {trial.begun}`"
    return fault(name, f"{what[0].upper()}{what[1:]} does not end well: {ending(trial)}.", remedy_of(trial.begun))


def ending(trial: ImportTrial) -> str:
    """How the process ended, in words, with the last that it complained of."""
    if trial.code is None:
        how = f"it had not ended after {duration(PATIENCE)}"
    elif trial.code < 0:
        how = f"the process was ended by the signal {signal_name(-trial.code)}"
    else:
        how = f"the process ended with exit code {trial.code}"
    return f"{how}: {in_one_line(cut(trial.complaint))}" if trial.complaint else how


def signal_name(number: int) -> str:
    """A signal as people know it."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def error_in_words(name: str, error: str) -> str:
    """What a library's error means, where that is known, and the error."""
    meaning = next((words for pattern, words in KNOWN.items() if re.search(pattern, error)), "")
    because = f": {meaning}" if meaning else ""
    what = "The GPU cannot be used" if name == "cuda" else f"`import {name}` fails"
    return f"{what}{because} ({in_one_line(cut(error))})."


def shown_name(name: str) -> str:
    """What a library is called in the list; GPUs under the name that their driver has there."""
    return "gpu" if name == "cuda" else PACKAGES.get(name, name)


def remedy_of(name: str) -> str:
    """The command that puts a library in anew; torch and torchvision as a pair, for one alone may not fit the other."""
    package = PACKAGES.get(name, name)
    names = ("torch", "torchvision") if package in ("torch", "torchvision") else (package,)
    typed = {one.name: one.typed for one in own_requirements()}
    return reinstalling(*(typed.get(each, each) for each in names))


def versions_found() -> dict[str, str]:
    """The versions of the libraries that could be imported, as they say themselves."""
    facts = {PACKAGES.get(name, name): facts for name, facts in import_trial().facts.items() if name != "cuda"}
    return {name: str(fact["version"]) for name, fact in facts.items() if fact.get("version")}

"""The learning rate of an arm, found on training images alone: every arm gets the same rates or trials, and seeds.

Each trial is a fine-tuning of its own, scored on inner images that are set aside of the training side; held-out images
are not read. Trials are named by their content as every run is, so a search that was killed goes on where it was.
"""

from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from compare.study.identity import run_identity
from compare.study.search_config import SearchConfig
from dermssl.files import short_hash
from dermssl.runs.folder import Run, locked_run, read_result
from dermssl.training.finite import NotFiniteError
from finetune.options.config import FinetuneConfig
from finetune.run import run as finetune

Tune = Callable[[FinetuneConfig], Path]
Trial = dict[str, object]  # lr, seed, jaccard on the inner images, folder of the run
SPREAD = 4  # rates that Optuna is given, evenly over the scale, before it models what it saw


def search_learning_rate(config: SearchConfig, tune: Tune | None = None) -> Path:
    """Tries the rates and keeps the best; returns the folder with `result.json`.

    The best is the rate with the highest mean IoU over the seeds; of equal ones the lowest. `at_edge` says that it is
    the lowest or the highest of all that were tried: a better one may lie beyond.

    Args:
        config: With an encoder file in place of ssl.
        tune: Does one fine-tuning and returns its run folder; by default `finetune.run`.
    """
    folder = config.folder / short_hash(run_identity(config))
    folder.mkdir(parents=True, exist_ok=True)
    with locked_run(folder, wait=True):
        if read_result(folder) is None:
            trials: list[Trial] = []

            def score(rate: float) -> float:
                trials.extend(trials_at(config, rate, tune or finetune_quietly))
                return float(np.mean([cast(float, trial["jaccard"]) for trial in trials if trial["lr"] == rate]))

            means = by_optuna(config, folder, score) if config.strategy == "optuna" else by_grid(config, score)
            best = max(sorted(means), key=lambda rate: means[rate])
            findings = {"best": best, "jaccard": means[best], "at_edge": best in (min(means), max(means))}
            settings = {name: getattr(config, name) for name in ("strategy", "rates", "seeds")}
            Run(folder).finish({"scored": "inner", **settings, **findings, "trials": trials})
    return folder


def trials_at(config: SearchConfig, rate: float, tune: Tune) -> list[Trial]:
    """A fine-tuning with this rate under every seed, and the mean IoU of each on the inner images."""
    trials: list[Trial] = []
    for seed in config.seeds:
        try:
            folder = tune(replace(config.tuning, lr=rate, seed=seed, score_on="inner"))
        except NotFiniteError:  # the rate is too high: it scores as a network does that finds nothing
            trials.append({"lr": rate, "seed": seed, "jaccard": 0.0, "folder": ""})
            continue
        result = read_result(folder) or {}
        trials.append({"lr": rate, "seed": seed, "jaccard": result["jaccard"], "folder": str(folder)})
    return trials


def finetune_quietly(config: FinetuneConfig) -> Path:
    """`finetune.run`, whose words stand in its folder's log.txt."""
    with redirect_stdout(StringIO()):
        return finetune(config, standing_is_fine=True)


def by_grid(config: SearchConfig, score: Callable[[float], float]) -> dict[float, float]:
    """The score of each rate of the grid."""
    return {rate: score(rate) for rate in sorted(config.rates)}


def by_optuna(config: SearchConfig, folder: Path, score: Callable[[float], float]) -> dict[float, float]:
    """The score of each rate that Optuna tried between the two ends, on a logarithmic scale.

    Tree-structured Parzen estimators (Bergstra et al. 2011), begun with rates spread evenly. The journal in the folder
    outlives a kill: a trial that was cut off is done again with its own rate, and each trial draws from a generator of
    its own number, so that what follows does not depend on the kill.
    """
    import optuna  # a second to import, and only for those who ask for it
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    low, high = sorted(config.rates)
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    study = optuna.create_study(storage=storage, study_name="lr", direction="maximize", load_if_exists=True)
    earlier_trials = {trial.number: trial for trial in study.trials}
    spread = evenly(low, high, min(SPREAD, config.trials))
    for number in range(config.trials):
        if number not in earlier_trials:
            study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=SPREAD)
            if number < len(spread):
                study.enqueue_trial({"lr": float(spread[number])})
            study.ask({"lr": optuna.distributions.FloatDistribution(low, high, log=True)})
        mean = score(study.trials[number].params["lr"])  # a finished trial's runs stand and are read
        if number not in earlier_trials or not earlier_trials[number].state.is_finished():
            study.tell(number, mean)
    return {trial.params["lr"]: cast(float, trial.value) for trial in study.trials[: config.trials]}


def evenly(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Rates in the middle of equal parts of the logarithmic scale between two, (count,)."""
    steps = (np.arange(count) + 0.5) / count
    return np.asarray(low * (high / low) ** steps)

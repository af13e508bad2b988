"""What `python -m compare plan` prints: the runs of a study, what they take, and what they could find."""

import os
import shutil
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from compare.estimates.estimate import Estimate, estimates
from compare.estimates.kinds import RunKind, task_kind
from compare.estimates.wall_time import longest_chain, wall_time
from compare.estimates.work import Workload
from compare.execution.ledger import read_outcomes
from compare.forecast.power_in_words import power_in_words
from compare.study.config import StudyConfig
from compare.study.factors import FACTORS, level
from compare.study.grid import all_combinations
from compare.study.plan import STAGES, Outcome, Task
from compare.text import WIDTH, megabytes, text_table, wrapped
from dermssl.runs.seal import RESULT
from dermssl.wording import counted, duration

Estimates = Mapping[str, Estimate]
AROUND = 2.5  # times what a plan takes to load and check: `run` does that too, then its workers load, and it reports


def forecast(images: Workload, tasks: Sequence[Task], slots: int, before: float = 0.0) -> str:
    """The whole text; runs that nothing tells of are timed first, where `study.timed` allows it.

    Args:
        images: Of the study that is asked.
        tasks: All of its runs.
        slots: Runs side by side.
        before: Seconds that loading and checking took until now, which `run` will take as well.
    """
    study = images.study
    done = done_already(study, tasks)
    tasks_left = [task for task in tasks if task.id not in done]
    expected = estimates(study, tasks, images)
    lesions, scored = images.scored(tasks)
    parts = [
        plan_heading(study, tasks, tasks_left),
        factors_in_words(study, tasks),
        runs_in_words(tasks, done, expected),
        pretrainings_in_words(tasks, done),
        "\n".join(costs_in_words(study, tasks_left, expected, slots, before)),
        "\n".join(power_in_words(study, tasks, lesions, scored)),
    ]
    return "\n\n".join(part for part in parts if part)


def done_already(study: StudyConfig, tasks: Sequence[Task]) -> dict[str, Outcome]:
    """Runs that need not be done, by task id: those of this study, and those that another one beside it has done.

    A run that was made by hand is found as well, but only when its turn has come.
    """
    done: dict[str, Outcome] = {}
    ids = {task.id for task in tasks}
    for folder in [*sorted(path.parent for path in study.out.glob("*/plan.csv")), study.folder]:
        outcomes = read_outcomes(folder)
        standing = {
            key: outcome
            for key, outcome in outcomes.items()
            if key in ids and (Path(outcome.folder) / RESULT).is_file()
        }
        done |= {key: outcome for key, outcome in standing.items() if outcome.state == "done"}
    return done


def plan_heading(study: StudyConfig, tasks: Sequence[Task], tasks_left: Sequence[Task]) -> str:
    """The study in a line."""
    done = len(tasks) - len(tasks_left)
    ready = f", {done} of them done already" if done else ""
    first, second = study.contrast
    question = study.question or f"is {first} better than {second}?"
    return f"study {study.name}: {counted(len(tasks), 'run')}{ready}\nquestion: {question}"


def factors_in_words(study: StudyConfig, tasks: Sequence[Task]) -> str:
    """The factors with their levels, and the combinations that rules leave out."""
    tuned = [task.factors for task in tasks if task.stage == "finetune"]
    rows = []
    for factor in FACTORS:
        levels = list(
            dict.fromkeys(
                level(factor, combination[factor]) for combination in tuned if combination[factor] not in (None, "")
            )
        )
        if len(levels) > 1:
            rows.append([factor, str(len(levels)), ", ".join(levels), "compared" * (factor == study.arms)])
        elif factor == study.arms:
            rows.append([factor, str(len(levels)), ", ".join(levels), "compared, and has but one level"])
    lines = ["what varies", text_table([line for row in rows for line in over_lines(row, 2, 60)], right=[1])]
    combinations = list(all_combinations(study))
    for rule in study.rules:
        count = sum(rule.leaves_out(combination) for combination in combinations)
        lines.append(wrapped(f"left out: {counted(count, 'fine-tuning')} by --exclude '{rule.text}'", 2))
    return "\n".join(lines)


def over_lines(row: Sequence[str], column: int, width: int) -> list[list[str]]:
    """A row of a table in as many lines as the words in one of its columns take."""
    first, *more = textwrap.wrap(row[column], width, break_long_words=False, break_on_hyphens=False)
    before, behind = [""] * column, [""] * (len(row) - column - 1)
    return [[*row[:column], first, *row[column + 1 :]], *([*before, line, *behind] for line in more)]


def runs_in_words(tasks: Sequence[Task], done: Mapping[str, Outcome], expected: Estimates) -> str:
    """A line a kind of run: how many there are, what one takes, and how that is known."""
    groups: dict[tuple[str, RunKind], list[Task]] = defaultdict(list)
    for task in tasks:
        groups[(task.stage, task_kind(task))].append(task)
    rows = []
    for (stage, kind), group in sorted(groups.items(), key=lambda item: STAGES.index(item[1][0].stage)):
        costs = [expected[task.id] for task in group if task.id in expected]
        name = str(kind).replace("finetune", stage, 1) if stage == "search" else str(kind)
        finished = sum(task.id in done for task in group)
        each = duration_range([cost.seconds for cost in costs])
        memory = max((cost.memory_mb or 0 for cost in costs), default=0) or None
        source = costs[0].source if costs else "unknown"
        rows.append([str(len(group)), str(finished), each, megabytes(memory), source, name])
    head = ["runs", "done", "each", "memory", "known from", "kind"]
    room = WIDTH - sum(2 + max(len(row[column]) for row in [head, *rows]) for column in range(5)) - 2
    return "runs\n" + text_table([line for row in rows for line in over_lines(row, 5, room)], head, right=[0, 1, 2, 3])


def duration_range(seconds: Sequence[float]) -> str:
    """The least and the most, where they differ when said."""
    if not seconds:
        return "-"
    low, high = duration(min(seconds)), duration(max(seconds))
    return low if low == high else f"{low} to {high}"


def pretrainings_in_words(tasks: Sequence[Task], done: Mapping[str, Outcome]) -> str:
    """Which runs wait for which pretraining."""
    lines, waiting_by_need = [], defaultdict[str, Counter[str]](Counter)
    for task in tasks:
        for need in task.needs:
            waiting_by_need[need][task.stage] += 1
    for task in (task for task in tasks if task.stage == "pretrain"):
        waiting = waiting_by_need[task.id]
        names = {"search": ("search", "searches"), "finetune": ("fine-tuning", ""), "probe": ("probe", "")}
        dependents = [counted(count, *names[stage]) for stage, count in waiting.items()]
        ready = "done" if task.id in done else "to do"
        lines.append(wrapped(f"{task.name} ({ready}): {' and '.join(dependents)} wait for it", 2))
    return "\n".join(["pretrainings, each done once", *lines]) if lines else ""


def costs_in_words(
    study: StudyConfig, tasks_left: Sequence[Task], expected: Estimates, slots: int, before: float
) -> Iterator[str]:
    """Time, memory and disk of what is left to do, against the budget and this machine."""
    yield "what is left to do"
    if not tasks_left:
        yield "  nothing: every run is done"
        return
    estimated = [task for task in tasks_left if task.id in expected]
    seconds = {task.id: expected[task.id].seconds for task in estimated}
    if not estimated:
        yield wrapped("nothing is known of the time and memory of these runs, for none of their kind has finished on a "
                      "machine like this one; `python -m compare plan --timed` times a few steps", 2)  # fmt: skip
        return
    if len(estimated) < len(tasks_left):
        unknown = counted(len(tasks_left) - len(estimated), "run")
        yield wrapped(f"nothing is known of the time and memory of {unknown}, which the figures below leave out", 2)
    wall, ids = wall_time(estimated, seconds, slots), {task.id for task in estimated}
    waiting = any(need in ids for task in estimated for need in task.needs)
    around = AROUND * before
    yield wrapped(
        f"time:   {duration(sum(seconds.values()))} of work; {duration(wall)} with {slots} side by side"
        + f", and no less than {duration(longest_chain(estimated, seconds))}, for runs wait for each other" * waiting
        + f"; about {duration(around)} more to load, check and report" * (around > wall / 20), 2
    )  # fmt: skip
    if study.budget is not None:
        hours = 3600 * study.budget
        spent = f"fits the budget of {duration(hours)}" if wall <= hours else (
            f"more than the budget of {duration(hours)}: about {share_in(estimated, seconds, slots, hours):.0%} of the "
            f"runs will be begun, and the next `run` goes on")  # fmt: skip
        yield wrapped(f"budget: {spent}", 2)
    yield from memory_in_words(study, [expected[task.id] for task in estimated], slots)
    size, free = (
        1e6 * sum(expected[task.id].disk_mb for task in estimated),
        shutil.disk_usage(nearest_existing(study.runs)).free,
    )
    verdict = "" if size < free else "; TOO LITTLE: free some, or give another --runs"
    yield f"  disk:   {megabytes(size / 1e6)} of run folders; {megabytes(free / 1e6)} are free{verdict}"


def memory_in_words(study: StudyConfig, costs: Iterable[Estimate], slots: int) -> Iterator[str]:
    """What the largest runs hold side by side, against what this machine has."""
    largest = sorted((cost.memory_mb for cost in costs if cost.memory_mb), reverse=True)[:slots]
    if not largest:
        return
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    fitting = int(whole // largest[0])
    fewer = f"give --jobs {fitting}" if fitting else "one run alone does not fit; lower its batch_size or image_size"
    remedy = f"; TOO MUCH: {fewer}" if sum(largest) > whole else ""
    yield f"  memory: {megabytes(sum(largest))} at most, of {megabytes(whole)} in this machine{remedy}"
    if study.memory is not None and largest[0] > 1000 * study.memory:
        yield wrapped(f"--memory {study.memory:g} stops a run that needs {megabytes(largest[0])}; raise it", 10)


def share_in(tasks: Sequence[Task], seconds: Mapping[str, float], slots: int, limit: float) -> float:
    """The largest part of the runs, in their order, that is done within the limit."""
    low, high = 0, len(tasks)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if wall_time(tasks[:middle], seconds, slots) <= limit else (low, middle - 1)
    return low / len(tasks)


def nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in [folder, *folder.absolute().parents] if path.exists())

"""What `python -m compare plan` prints: the runs of a study, what they take, and what they could find."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path

from compare.config import StudyConfig
from compare.execution.ledger import read_outcomes
from compare.factors import FACTORS, level
from compare.grid import all_combinations
from compare.overview.aligned import aligned, counted, duration, megabytes, wrapped
from compare.overview.estimate import Estimate, estimates
from compare.overview.kinds import Kind, kind_of_task
from compare.overview.reach import SEEDS, Reach, Spreads, cells_of, reaches, spreads_for
from compare.overview.side_by_side import longest_chain, wall_time
from compare.overview.work import Images
from compare.plan import STAGES, Outcome, Task
from dermssl.seal import RESULT

Estimates = Mapping[str, Estimate]


def forecast(study: StudyConfig, tasks: Sequence[Task], slots: int) -> str:
    """The whole text; runs that nothing tells of are timed first, where `study.timed` allows it.

    Args:
        study: What is asked.
        tasks: All of its runs.
        slots: Runs side by side.
    """
    images = Images(study)
    done = done_already(study, tasks)
    left = [task for task in tasks if task.id not in done]
    known = estimates(study, tasks, images)
    lesions, scored = images.scored(tasks)
    parts = [
        heading(study, tasks, left),
        factors_said(study, tasks),
        runs_said(tasks, done, known),
        pretrainings_said(tasks, done),
        "\n".join(costs_said(study, left, known, slots)),
        "\n".join(reach_said(study, tasks, lesions, scored)),
    ]
    return "\n\n".join(part for part in parts if part)


def done_already(study: StudyConfig, tasks: Sequence[Task]) -> dict[str, Outcome]:
    """Runs that need not be done, by task id: those of this study, and those that another one beside it has done.

    A run that was made by hand is found as well, but only when its turn has come.
    """
    done: dict[str, Outcome] = {}
    wanted = {task.id for task in tasks}
    for folder in [*sorted(path.parent for path in study.out.glob("*/plan.csv")), study.folder]:
        outcomes = read_outcomes(folder)
        stands = {key: one for key, one in outcomes.items() if key in wanted and (Path(one.folder) / RESULT).is_file()}
        done |= {key: one for key, one in stands.items() if one.state == "done"}
    return done


def heading(study: StudyConfig, tasks: Sequence[Task], left: Sequence[Task]) -> str:
    """The study in a line."""
    done = len(tasks) - len(left)
    ready = f", {done} of them done already" if done else ""
    first, second = study.contrast
    asked = study.question or f"is {first} better than {second}?"
    return f"study {study.name}: {counted(len(tasks), 'run')}{ready}\nquestion: {asked}"


def factors_said(study: StudyConfig, tasks: Sequence[Task]) -> str:
    """The factors with their levels, and the combinations that rules leave out."""
    tuned = [task.factors for task in tasks if task.stage == "finetune"]
    rows = []
    for factor in FACTORS:
        levels = list(dict.fromkeys(level(factor, one[factor]) for one in tuned if one[factor] not in (None, "")))
        if len(levels) > 1:
            rows.append([factor, str(len(levels)), ", ".join(levels), "compared" * (factor == study.arms)])
        elif factor == study.arms:
            rows.append([factor, str(len(levels)), ", ".join(levels), "compared, and has but one level"])
    width = max(len(row[2]) for row in rows)
    shown = [[*row[:2], row[2] if width <= 60 else shortened(row[2], 60), row[3]] for row in rows]
    lines = ["what varies", aligned(shown, right=[1])]
    everything = list(all_combinations(study))
    for rule in study.rules:
        out = sum(rule.leaves_out(one) for one in everything)
        lines.append(wrapped(f"left out: {counted(out, 'fine-tuning')} by '{rule.text}'", 2))
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """A list of levels that fits, with an ellipsis where it goes on."""
    return text if len(text) <= width else text[: width - 1] + "…"


def runs_said(tasks: Sequence[Task], done: Mapping[str, Outcome], known: Estimates) -> str:
    """A line a kind of run: how many there are, what one takes, and how that is known."""
    groups: dict[tuple[str, Kind], list[Task]] = defaultdict(list)
    for task in tasks:
        groups[(task.stage, kind_of_task(task))].append(task)
    rows = []
    for (stage, kind), some in sorted(groups.items(), key=lambda item: STAGES.index(item[1][0].stage)):
        costs = [known[task.id] for task in some if task.id in known]
        name = str(kind).replace("finetune", stage, 1) if stage == "search" else str(kind)
        finished = sum(task.id in done for task in some)
        each = between([cost.seconds for cost in costs])
        memory = max((cost.memory_mb or 0 for cost in costs), default=0) or None
        source = costs[0].source if costs else "unknown"
        rows.append([str(len(some)), str(finished), each, megabytes(memory), source, name])
    head = ["runs", "done", "each", "memory", "known from", "kind"]
    return "runs\n" + aligned(rows, head, right=[0, 1, 2, 3])


def between(seconds: Sequence[float]) -> str:
    """The least and the most, where they differ when said."""
    if not seconds:
        return "-"
    low, high = duration(min(seconds)), duration(max(seconds))
    return low if low == high else f"{low} to {high}"


def pretrainings_said(tasks: Sequence[Task], done: Mapping[str, Outcome]) -> str:
    """Which runs wait for which pretraining."""
    lines = []
    for task in tasks:
        if task.stage != "pretrain":
            continue
        waiting = Counter(other.stage for other in tasks if task.id in other.needs)
        names = {"search": ("search", "searches"), "finetune": ("fine-tuning", ""), "probe": ("probe", "")}
        said = [counted(count, *names[stage]) for stage, count in waiting.items()]
        ready = "done" if task.id in done else "to do"
        lines.append(wrapped(f"{task.name} ({ready}): {' and '.join(said)} wait for it", 2))
    return "\n".join(["pretrainings, each done once", *lines]) if lines else ""


def costs_said(study: StudyConfig, left: Sequence[Task], known: Estimates, slots: int) -> Iterator[str]:
    """Time, memory and disk of what is left to do, against the budget and this machine."""
    yield "what is left to do"
    if not left:
        yield "  nothing: every run is done"
        return
    estimated = [task for task in left if task.id in known]
    seconds = {task.id: known[task.id].seconds for task in estimated}
    if not estimated:
        yield wrapped("of the time and memory of its runs nothing is known; --timed True times a few steps of each", 2)
        return
    if len(estimated) < len(left):
        yield f"  of {counted(len(left) - len(estimated), 'run')} nothing is known; the figures below leave them out"
    wall, ids = wall_time(estimated, seconds, slots), {task.id for task in estimated}
    waiting = any(need in ids for task in estimated for need in task.needs)
    yield wrapped(
        f"time:   {duration(sum(seconds.values()))} of work; {duration(wall)} with {slots} side by side"
        + f", and no less than {duration(longest_chain(estimated, seconds))}, for runs wait for each other" * waiting, 2
    )  # fmt: skip
    if study.budget is not None:
        hours = 3600 * study.budget
        spent = f"fits the budget of {duration(hours)}" if wall <= hours else (
            f"more than the budget of {duration(hours)}: about {share_in(estimated, seconds, slots, hours):.0%} of the "
            f"runs will be begun, and the next `run` goes on")  # fmt: skip
        yield wrapped(f"budget: {spent}", 2)
    yield from memory_said(study, [known[task.id] for task in estimated], slots)
    size, free = 1e6 * sum(known[task.id].disk_mb for task in estimated), shutil.disk_usage(standing(study.runs)).free
    verdict = "" if size < free else "; TOO LITTLE: free some, or give another --runs"
    yield f"  disk:   {megabytes(size / 1e6)} of run folders; {megabytes(free / 1e6)} are free{verdict}"


def memory_said(study: StudyConfig, costs: Iterable[Estimate], slots: int) -> Iterator[str]:
    """What the largest runs hold side by side, against what this machine has."""
    largest = sorted((cost.memory_mb for cost in costs if cost.memory_mb), reverse=True)[:slots]
    if not largest:
        return
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    remedy = f"; TOO MUCH: give --jobs {max(1, int(whole // largest[0]))}" if sum(largest) > whole else ""
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


def standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(one for one in [folder, *folder.absolute().parents] if one.exists())


def reach_said(study: StudyConfig, tasks: Sequence[Task], lesions: int, images: int) -> Iterator[str]:
    """The smallest difference that shows, with these seeds and with others, and whether the margin can be reached."""
    yield f"what it can find ({images} images of {counted(lesions, 'lesion')} are scored)"
    if lesions < 2:
        yield "  nothing: one lesion tells nothing of others"
        return
    cells, spreads, seeds = cells_of(tasks, study.arms), spreads_for(study), len(study.seed)
    arms = len({tuple(task.factors[name] for name in arm_factors(study)) for task in tasks if task.stage == "finetune"})
    pairs = arms * (arms - 1) // 2
    table = reaches(lesions, images, cells, spreads, study.margin, sorted({*SEEDS, seeds}), max(pairs, 1))
    here = next(one for one in table if one.seeds == seeds)
    yield from resolution_said(here, cells)
    rows = [reach_row(one, here) for one in table]
    one_cell = f", the second of one among {pairs * cells}" if pairs * cells > 1 else ""
    head = ["seeds", f"mean of {counted(cells, 'cell')}", "one cell", f"equal within {study.margin:g}", ""]
    yield aligned(rows, head, right=[0, 1, 2, 3])
    yield wrapped(
        "The first two are the smallest true differences of IoU that are called better or worse four times in five, "
        f"the first of the primary contrast{one_cell}; the third is how often two arms without any difference are "
        "called equivalent.", 2
    )  # fmt: skip
    yield margin_said(here, table, study.margin)
    yield spreads_said(spreads)


def resolution_said(here: Reach, cells: int) -> Iterator[str]:
    """What these seeds resolve, in a sentence."""
    if here.seeds < 2:
        yield wrapped("With one seed every verdict is 'undecided': how trainings differ cannot be seen.", 2)
        return
    if not isfinite(here.pooled):
        yield wrapped(f"With {here.seeds} seeds every verdict will be 'undecided': no difference is large enough.", 2)
        return
    one = f", {here.cell:.4f} in a single cell" if cells > 1 and isfinite(here.cell) else ""
    yield wrapped(f"With {here.seeds} seeds it resolves a difference of {here.pooled:.4f} IoU{one}.", 2)


def arm_factors(study: StudyConfig) -> tuple[str, ...]:
    """What tells arms apart."""
    return ("init", "method") if study.arms == "init" else (study.arms,)


def reach_row(one: Reach, here: Reach) -> list[str]:
    """A number of seeds in the table."""
    differences = [f"{value:.4f}" if isfinite(value) else "none" for value in (one.pooled, one.cell)]
    return [str(one.seeds), *differences, f"{one.equivalent:.0%}", "this study" * (one is here)]


def margin_said(here: Reach, table: Sequence[Reach], margin: float) -> str:
    """Whether equivalence can be shown, and else how many seeds it takes."""
    if here.equivalent >= 0.8:
        return wrapped(f"The margin of {margin:g} can be reached: equal arms are found equivalent.", 2)
    enough = next((one.seeds for one in table if one.equivalent >= 0.8), None)
    remedy = f"{enough} seeds would" if enough else (
        f"{table[-1].seeds} seeds are not enough either: take more images, or a wider --margin")  # fmt: skip
    word = "cannot" if here.equivalent < 0.05 else "can hardly"
    return wrapped(f"The margin of {margin:g} {word} be reached: equal arms are found equivalent "
                   f"{here.equivalent:.0%} of the time; {remedy}.", 2)  # fmt: skip


def spreads_said(spreads: Spreads) -> str:
    """What is assumed."""
    return wrapped(
        f"It assumes that differences of two arms vary by {spreads.lesion:.3f} between lesions, {spreads.seed:.3f} "
        f"between trainings and {spreads.rest:.3f} beyond that, standard deviations in a cell, and by "
        f"{spreads.pooled_lesion:.3f} between lesions in the mean of all cells: {spreads.source}.", 2
    )  # fmt: skip

"""The options of the loss, and how a sum of losses is written."""

import re
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from dermssl.bounds import above_zero, at_least, share
from dermssl.wording import spelling_hint

LOSSES = ("dice", "jaccard", "bce", "focal", "tversky", "lovasz", "mcc", "boundary")
Over = Literal["image", "batch"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What training lowers."""

    GROUP: ClassVar[str] = "training"

    loss: str = "dice+bce"
    """One of dice, jaccard, bce, focal, tversky, lovasz, mcc, boundary, or a weighted sum such as dice+0.5*bce."""
    loss_over: Over = "image"
    """What dice, jaccard, tversky, lovasz and mcc count over: each image, then averaged, or the batch as one picture; bce, focal and boundary are means over pixels either way."""  # noqa: E501
    focal_gamma: float = 2.0
    """Power by which focal counts a pixel less the surer it is right; 0 is bce, 2 is Lin et al. 2017."""
    focal_alpha: float | None = None
    """Weight of lesion pixels in focal, where skin weighs 1 - alpha; both 1 by default (Lin et al. 2017: 0.25)."""
    tversky_alpha: float = 0.3
    """Weight in tversky of a pixel wrongly called lesion (Salehi et al. 2017: 0.3); with beta 0.5, 0.5 is dice."""
    tversky_beta: float = 0.7
    """Weight in tversky of a pixel of lesion that was missed (Salehi et al. 2017: 0.7); with alpha 1, 1 is jaccard."""

    def __post_init__(self) -> None:
        """Refuses what is no sum of losses, and options of a loss that is not in it."""
        used = [name for _, name in terms(self.loss)]
        for option in fields(LossConfig):
            loss, value = option.name.partition("_")[0], vars(self)[option.name]
            if loss in LOSSES and loss not in used and value != option.default:
                raise ValueError(
                    f"--{option.name} {value} belongs to {loss}, which is not in --loss {self.loss}; leave it out"
                )
        at_least(self, 0, "focal_gamma")
        share(self, "focal_alpha", interval="(0, 1)")
        above_zero(self, "tversky_alpha", "tversky_beta")


def terms(text: str) -> tuple[tuple[float, str], ...]:
    """The weight and the name of each loss in a sum such as `dice+0.5*bce`, in its order; no weight is weight 1.

    Raises:
        ValueError: For an unknown loss, a weight that is not above 0, one loss twice, and a term without a loss.
    """
    weighted = tuple(term(part, text) for part in text.split("+"))
    names = [name for _, name in weighted]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"--loss {text}: {twice[0]} stands in it twice; give it one weight")
    return weighted


def term(part: str, text: str) -> tuple[float, str]:
    """The weight and the name of one loss of the sum `text`."""
    weight, star, name = (word.strip() for word in part.rpartition("*"))
    if not name or (star and not weight):
        raise ValueError(f"--loss '{text}': a term is empty; write LOSS or WEIGHT*LOSS with + between, as dice+0.5*bce")
    if name not in LOSSES:
        hint = spelling_hint(name, LOSSES) or f"; there are {', '.join(LOSSES)}"
        raise ValueError(f"--loss {text}: no loss is called '{name}'{hint}")
    if star and not (re.fullmatch(r"[0-9.]+(e-?[0-9]+)?", weight) and 0 < weight_of(weight) < float("inf")):
        raise ValueError(f"--loss {text}: the weight of {name} is a number above 0, as 0.5*{name}; got '{weight}'")
    return weight_of(weight) if star else 1.0, name


def weight_of(word: str) -> float:
    """The number that `word` writes, or 0 where it writes none."""
    try:
        return float(word)
    except ValueError:
        return 0.0

"""Rules that leave combinations out of a study's grid, as `decoder=pspnet label_fraction=0.05` writes them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from compare.study.factors import FACTORS, Level, level
from dermssl.wording import spelling_hint


@dataclass(frozen=True)
class ExclusionRule:
    """A combination has to have each of these levels, as words, to be left out."""

    text: str
    levels: Mapping[str, str]

    def leaves_out(self, factors: Mapping[str, Level]) -> bool:
        """Whether the combination is one that the rule speaks of; a factor that it has no level of never is."""
        return all(level(factor, factors[factor]) == word for factor, word in self.levels.items())


def exclusion_rule(text: str, levels: Mapping[str, Collection[str]]) -> ExclusionRule:
    """The rule that `text` writes.

    Args:
        text: `FACTOR=LEVEL` once or several times, with spaces between.
        levels: Of each factor of the study, as words.

    Raises:
        ValueError: If it names what is no factor, or a level that the study does not have.
    """
    parts: dict[str, str] = {}
    for pair in text.split():
        factor, equals, word = pair.partition("=")
        if not equals:
            raise ValueError(
                f"--exclude '{text}': a rule is FACTOR=LEVEL, once or several times, and '{pair}' has no ="
            )
        if factor not in FACTORS:
            hint = spelling_hint(factor, FACTORS) or f"; factors are {', '.join(FACTORS)}"
            raise ValueError(f"--exclude '{text}': '{factor}' is no factor{hint}")
        name = as_level(factor, word)
        if name not in levels[factor]:
            has = ", ".join(levels[factor]) or "none"
            raise ValueError(f"--exclude '{text}': the study has no {factor} '{word}' ({has})")
        parts[factor] = name
    if not parts:
        raise ValueError("--exclude '': a rule is FACTOR=LEVEL, once or several times, such as 'decoder=pspnet'")
    return ExclusionRule(text, parts)


def as_level(factor: str, word: str) -> str:
    """A level as it is said, however its number is written."""
    try:
        return level(factor, float(word))
    except ValueError:
        return word

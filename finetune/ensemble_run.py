"""The story of an ensemble: the mean of several networks' probabilities, then what a prediction does."""

from collections.abc import Sequence

from dermssl.errors import UserError
from finetune.ensemble_config import EnsembleConfig
from finetune.member import Member, device_of, open_member
from finetune.predict_run import Outcome, predict_with


def ensemble(config: EnsembleConfig) -> Outcome:
    """Writes the masks that the mean of the models' probabilities gives, each model with equal weight.

    Raises:
        UserError: If a model or the images cannot be used, a model is given twice, or `--out` holds other masks.
    """
    device = device_of(config.device, config.threads)
    members = [open_member(path, device, config) for path in config.models]
    refuse_twice(members)
    command = f"python -m finetune.ensemble --models {' '.join(map(str, config.models))}"
    # In the order of their hashes: sums of three depend on the order, and that of the flags must not matter.
    return predict_with(sorted(members, key=lambda member: member.card.sha256), config, command)


def refuse_twice(members: Sequence[Member]) -> None:
    """Stops where one network is given twice, under whatever name: it would have twice the weight."""
    first: dict[str, Member] = {}
    for member in members:
        twin = first.setdefault(member.card.sha256, member)
        if twin is not member:
            raise UserError(f"--models: {twin.path} and {member.path} are the same network; give each one once")

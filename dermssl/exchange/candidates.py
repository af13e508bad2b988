"""Which of several encoders in one checkpoint is taken, and what its place says of where it comes from."""

from collections.abc import Sequence
from typing import NamedTuple

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import Place
from dermssl.exchange.recognise import Fit


class Rule(NamedTuple):
    """Of two encoders whose places differ in these parts, the first is taken."""

    taken: str
    left: str
    why: str


class Origin(NamedTuple):
    """What the parts of an encoder's place say, where all of them stand in it."""

    parts: frozenset[str]
    words: str
    method: str = ""


# A part of a place is a whole word between dots: `backbone` is no part of `momentum_backbone.conv1`.
RULES = (
    Rule("encoder_q", "encoder_k", "MoCo judges the query encoder"),
    Rule("base_encoder", "momentum_encoder", "MoCo v3 judges the base encoder"),
    Rule("teacher", "student", "DINO judges the teacher"),
    Rule("teacher_backbone", "student_backbone", "DINO judges the teacher"),
    Rule("teacher_embedding_model", "student_embedding_model", "LightlyTrain exports the teacher"),
    Rule("momentum_teacher", "classy_state_dict", "DINO judges the teacher, which VISSL keeps with the loss"),
    Rule("classy_state_dict", "moco_encoder", "MoCo judges the query encoder"),
    Rule("base_model", "ema_model", "VISSL judges the trained model"),
    Rule("backbone", "student_backbone", "lightly keeps DINO's teacher as its backbone"),
    Rule("backbone", "teacher_backbone", "lightly judges the online encoder of BYOL"),
    Rule("backbone", "key_backbone", "MoCo judges the query encoder"),
    Rule("backbone", "momentum_backbone", "solo-learn judges the trained encoder"),
    Rule("backbone", "backbone_momentum", "lightly and torchgeo judge the trained encoder"),
    Rule("backbone", "target", "torchgeo judges the online encoder of BYOL"),
    Rule("query_encoder", "key_encoder", "LightlyTrain judges the query encoder"),
    Rule("online_encoder", "target_encoder", "BYOL judges the online encoder"),
    Rule("online_network", "target_network", "BYOL judges the online encoder"),
    Rule("state_dict_ema", "state_dict", "timm validates the average of the weights"),
    Rule("model_ema", "model", "torchvision publishes the average of the weights"),
)

ORIGINS = (
    Origin(frozenset({"encoder_q"}), "moco: query encoder", "moco"),
    Origin(frozenset({"encoder_k"}), "moco: key encoder", "moco"),
    Origin(frozenset({"base_encoder"}), "moco-v3: base encoder", "mocov3"),
    Origin(frozenset({"momentum_encoder"}), "moco-v3: momentum encoder", "mocov3"),
    Origin(frozenset({"momentum_teacher"}), "VISSL: teacher", "dino"),
    Origin(frozenset({"moco_encoder"}), "VISSL: key encoder", "moco"),
    Origin(frozenset({"_feature_blocks"}), "VISSL: trunk"),
    Origin(frozenset({"teacher_embedding_model"}), "LightlyTrain: teacher"),
    Origin(frozenset({"student_embedding_model"}), "LightlyTrain: student"),
    Origin(frozenset({"wrapped_model"}), "LightlyTrain: model"),
    Origin(frozenset({"teacher", "backbone"}), "DINO: teacher", "dino"),
    Origin(frozenset({"student", "backbone"}), "DINO: student", "dino"),
    Origin(frozenset({"teacher_backbone"}), "lightly: teacher"),
    Origin(frozenset({"student_backbone"}), "lightly: student", "dino"),
    Origin(frozenset({"key_backbone"}), "lightly: key encoder", "moco"),
    Origin(frozenset({"backbone_momentum"}), "lightly or torchgeo: momentum encoder"),
    Origin(frozenset({"momentum_backbone"}), "solo-learn: momentum encoder"),
    Origin(frozenset({"model", "backbone"}), "torchgeo: encoder"),
    Origin(frozenset({"backbone"}), "solo-learn, lightly or torchgeo: encoder"),
    Origin(frozenset({"encoder"}), "encoder of a larger model"),
)


def chosen(fits: Sequence[Fit]) -> tuple[Fit, list[tuple[Fit, str]]]:
    """The encoder to take, and each one that is left with the reason why.

    Args:
        fits: Whole encoders with different weights, at least one.

    Raises:
        UserError: If no rule decides.
    """
    for fit in fits:
        left = [(other, reason(fit.prefix, other.prefix)) for other in fits if other is not fit]
        if all(why for _, why in left):
            return fit, left
    places = first_ten([f"--prefix {'.'.join(fit.prefix) or repr('')}" for fit in fits])
    raise UserError(
        f"the file holds {len(fits)} whole encoders that differ, and no rule says which to take; give {places}"
    )


def reason(taken: Place, left: Place) -> str:
    """Why an encoder at the one place is taken and not one at the other; nothing where that is not said."""
    ours, theirs = set(taken) - set(left), set(left) - set(taken)
    said = [rule.why for rule in RULES if rule.taken in ours and rule.left in theirs]
    against = [rule for rule in RULES if rule.taken in theirs and rule.left in ours]
    return "" if against or not said else said[0]


def origin(place: Place) -> Origin:
    """What a place says of where its encoder comes from."""
    return next((known for known in ORIGINS if known.parts <= set(place)), Origin(frozenset(), "network"))

"""Which of several encoders in one checkpoint is taken, and what its place says of where it comes from."""

from collections.abc import Sequence
from typing import NamedTuple

from dermssl.errors import UserError, first_ten
from dermssl.exchange.foreign import Place
from dermssl.exchange.recognise import EncoderMatch


class Preference(NamedTuple):
    """Which of two encoders is taken whose places differ in these parts, and why."""

    preferred: str
    other: str
    reason: str


class Origin(NamedTuple):
    """What the parts of an encoder's place say, where all of them stand in it."""

    parts: frozenset[str]
    words: str
    method: str = ""


# A part of a place is a whole word between dots: `backbone` is no part of `momentum_backbone.conv1`.
PREFERENCES = (
    Preference("encoder_q", "encoder_k", "MoCo judges the query encoder"),
    Preference("base_encoder", "momentum_encoder", "MoCo v3 judges the base encoder"),
    Preference("teacher", "student", "DINO judges the teacher"),
    Preference("teacher_backbone", "student_backbone", "DINO judges the teacher"),
    Preference("teacher_embedding_model", "student_embedding_model", "LightlyTrain exports the teacher"),
    Preference("momentum_teacher", "classy_state_dict", "DINO judges the teacher, which VISSL keeps with the loss"),
    Preference("classy_state_dict", "moco_encoder", "MoCo judges the query encoder"),
    Preference("base_model", "ema_model", "VISSL judges the trained model"),
    Preference("backbone", "student_backbone", "lightly keeps DINO's teacher as its backbone"),
    Preference("backbone", "teacher_backbone", "lightly judges the online encoder of BYOL"),
    Preference("backbone", "key_backbone", "MoCo judges the query encoder"),
    Preference("backbone", "momentum_backbone", "solo-learn judges the trained encoder"),
    Preference("backbone", "backbone_momentum", "lightly and torchgeo judge the trained encoder"),
    Preference("backbone", "target", "torchgeo judges the online encoder of BYOL"),
    Preference("query_encoder", "key_encoder", "LightlyTrain judges the query encoder"),
    Preference("online_encoder", "target_encoder", "BYOL judges the online encoder"),
    Preference("online_network", "target_network", "BYOL judges the online encoder"),
    Preference("state_dict_ema", "state_dict", "timm validates the average of the weights"),
    Preference("model_ema", "model", "torchvision publishes the average of the weights"),
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


def choose_encoder(matches: Sequence[EncoderMatch]) -> tuple[EncoderMatch, list[tuple[EncoderMatch, str]]]:
    """The encoder to take, and each one that is left with the reason why.

    Args:
        matches: Whole encoders with different weights, at least one.

    Raises:
        UserError: If no rule decides.
    """
    for match in matches:
        others = [(other, reason_to_prefer(match.prefix, other.prefix)) for other in matches if other is not match]
        if all(reason for _, reason in others):
            return match, others
    places = first_ten([f"--prefix {'.'.join(match.prefix) or repr('')}" for match in matches])
    raise UserError(
        f"the checkpoint holds {len(matches)} whole encoders that differ, and no rule says which to take; give {places}"
    )


def reason_to_prefer(preferred: Place, other: Place) -> str:
    """Why an encoder at the one place is taken and not one at the other; nothing where that is not said."""
    ours, theirs = set(preferred) - set(other), set(other) - set(preferred)
    reasons = [rule.reason for rule in PREFERENCES if rule.preferred in ours and rule.other in theirs]
    against = [rule for rule in PREFERENCES if rule.preferred in theirs and rule.other in ours]
    return "" if against or not reasons else reasons[0]


def origin_of(place: Place) -> Origin:
    """What a place says of where its encoder comes from."""
    return next((origin for origin in ORIGINS if origin.parts <= set(place)), Origin(frozenset(), "network"))

"""What of the encoder is trained and how fast, over encoders of every kind."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from dermssl.training.optimise import groups, optimiser, warmup_and_cosine
from dermssl.weights.encoder import build_encoder
from finetune.network.build import assemble
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.training.training_schedule import parameter_groups, stages_of

SIDE = 64
STAGES = {  # encoder -> where each stage begins, by the names of its parts in their order
    "resnet18": [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)],
    "mobilenet_v2": [
        ("features.0.", "features.1."),
        ("features.2.", "features.3."),
        ("features.4.", "features.5.", "features.6."),
        tuple(f"features.{block}." for block in range(7, 14)),
        tuple(f"features.{block}." for block in range(14, 19)),
    ],
    "densenet121": [
        ("features.conv0", "features.norm0"),
        ("features.denseblock1", "features.transition1.norm"),
        ("features.transition1.conv", "features.denseblock2", "features.transition2.norm"),
        ("features.transition2.conv", "features.denseblock3", "features.transition3.norm"),
        ("features.transition3.conv", "features.denseblock4", "features.norm5"),
    ],
    "mit_b0": [(f"patch_embed{stage}", f"block{stage}", f"norm{stage}") for stage in (1, 2, 3, 4)],
    "tu-tf_efficientnet_lite0": [
        ("model.conv_stem", "model.bn1", "model.blocks.0."),
        ("model.blocks.1.",),
        ("model.blocks.2.",),
        ("model.blocks.3.", "model.blocks.4."),
        ("model.blocks.5.", "model.blocks.6."),
    ],
    "tu-convnext_atto": [
        ("model.stem", "model.stages_0"),
        ("model.stages_1",),
        ("model.stages_2",),
        ("model.stages_3",),
    ],
    "tu-vit_tiny_patch16_224": [
        ("model.cls_token", "model.pos_embed", "model.patch_embed", *(f"model.blocks.{block}." for block in (0, 1, 2))),
        tuple(f"model.blocks.{block}." for block in (3, 4, 5)),
        tuple(f"model.blocks.{block}." for block in (6, 7, 8)),
        (*(f"model.blocks.{block}." for block in (9, 10, 11)), "model.norm", "model.head"),
    ],
}
OTHERS = [  # families of smp and timm, without a table of their names
    "efficientnet-b0", "mobileone_s0", "tu-test_efficientnet", "tu-regnetx_002", "tu-hrnet_w18_small",
    "tu-mobilevitv2_050", "tu-edgenext_xx_small",
]  # fmt: skip


def config(**more: object) -> FinetuneConfig:
    return FinetuneConfig(image_size=SIDE, **more)


def unet(encoder: str = "tu-test_efficientnet") -> nn.Module:
    return assemble(encoder, "unet", {})


def ids(parameters: Iterable[nn.Parameter]) -> list[int]:
    return [id(parameter) for parameter in parameters]


@pytest.mark.parametrize("name", STAGES)
def test_stages_of_known_encoders_are_those_of_their_names(name: str) -> None:
    encoder = build_encoder(name)
    found = {id(parameter): stage for stage, inside in enumerate(stages_of(encoder, SIDE)) for parameter in inside}
    for key, parameter in encoder.named_parameters():
        [wanted] = [stage for stage, starts in enumerate(STAGES[name]) if key.startswith(starts)]
        assert found[id(parameter)] == wanted, key


@pytest.mark.parametrize("name", [*STAGES, *OTHERS])
def test_every_parameter_of_an_encoder_is_in_one_stage(name: str) -> None:
    encoder = build_encoder(name)
    stages = stages_of(encoder, SIDE)
    assert sorted(ids(parameter for stage in stages for parameter in stage)) == sorted(ids(encoder.parameters()))
    assert all(stages)
    assert 4 <= len(stages) <= 5


@pytest.mark.slow  # the classifier that VGG draws and throws away has 120 million weights
def test_a_map_that_only_pools_is_no_stage() -> None:
    stages = stages_of(encoder := build_encoder("vgg11_bn"), SIDE)
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    first = [names[id(stage[0])] for stage in stages]
    assert first == ["features.0.weight", "features.8.weight", "features.15.weight", "features.22.weight"]


def test_finding_stages_changes_nothing_of_the_encoder() -> None:
    encoder = build_encoder("resnet18").requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    stages_of(encoder, SIDE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert encoder.training
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in encoder.parameters())


def test_without_options_of_transfer_there_are_the_two_groups_of_any_training() -> None:
    model = unet()
    found = parameter_groups(model, config(lr=0.1, weight_decay=0.3), Schedule(10), SIDE)
    plain = groups([model], 0.3)
    assert [ids(group["params"]) for group in found] == [ids(group["params"]) for group in plain]
    assert [group["weight_decay"] for group in found] == [0.3, 0.0]
    assert [group["lr"] for group in found] == [0.1, 0.1]


def test_the_rate_of_a_stage_decays_with_its_distance_from_the_top() -> None:
    model = unet("resnet18")
    found = parameter_groups(model, config(lr=1.0, encoder_lr=0.1, layer_decay=0.5), Schedule(10), SIDE)
    rate = {id(parameter): group["lr"] for group in found for parameter in group["params"]}
    assert len(rate) == len(list(model.parameters())) == sum(len(group["params"]) for group in found)
    wanted = {"conv1": 0.1 / 16, "bn1": 0.1 / 16, "layer1": 0.1 / 8, "layer2": 0.025, "layer3": 0.05, "layer4": 0.1}
    for name, parameter in model.encoder.named_parameters():
        assert rate[id(parameter)] == pytest.approx(wanted[name.partition(".")[0]])
    assert {rate[id(p)] for part in (model.decoder, model.segmentation_head) for p in part.parameters()} == {1.0}
    assert found[0]["lr"] == 1.0  # metrics.csv shows the rate of the first group


def test_only_what_lr_sets_is_swept_by_a_range_test() -> None:
    model = unet()
    inside = set(ids(model.encoder.parameters()))
    for encoder_lr, swept in ((None, True), (0.1, False)):
        found = parameter_groups(model, config(lr=0.1, encoder_lr=encoder_lr), Schedule(10), SIDE)
        assert {group["swept"] for group in found for p in group["params"] if id(p) in inside} == {swept}
        assert {group["swept"] for group in found for p in group["params"] if id(p) not in inside} == {True}


def test_an_encoder_that_stays_frozen_is_in_no_group_and_one_that_thaws_is_in_from_the_start() -> None:
    model = unet()
    inside = set(ids(model.encoder.parameters()))
    never = parameter_groups(model, config(freeze=True), Schedule(10), SIDE)
    assert not inside & {id(parameter) for group in never for parameter in group["params"]}
    later = parameter_groups(model, config(freeze=True, thaw_after=1), Schedule(10, thaw=4), SIDE)
    assert {id(p) for group in later if group["begins"] == 4 for p in group["params"]} == inside


def test_a_thawed_encoder_warms_up_again_below_the_schedule_of_the_decoder() -> None:
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    adamw = optimiser("adamw", [{"params": weights[:1]}, {"params": weights[1:], "begins": 10}], 1.0)
    schedule = warmup_and_cosine(adamw, steps=40, warmup=0.1)["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(40):
        rates.append([group["lr"] for group in adamw.param_groups])
        adamw.step()
        schedule.step()
    decoder, encoder = torch.tensor(rates).T
    alone = optimiser("adamw", [{"params": weights[:1]}], 1.0)
    plain = warmup_and_cosine(alone, steps=40, warmup=0.1)["lr_scheduler"]["scheduler"]
    assert decoder.tolist() == pytest.approx([plain.scale_lr(step) for step in range(40)])
    assert encoder[:10].tolist() == [0.0] * 10
    assert (encoder[10:14] / decoder[10:14]).tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert torch.equal(encoder[13:], decoder[13:])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"lr": float("nan")}, "--lr must be above 0"),
        ({"encoder_lr": 0.0}, "--encoder_lr must be above 0"),
        ({"layer_decay": 1.1}, r"--layer_decay is a factor in \(0, 1\]"),
        ({"ema": 1.0}, r"--ema is a share in \[0, 1\)"),
        ({"patience": -1}, "--patience must not be negative"),
        ({"inner_fraction": 1.0}, r"--inner_fraction is a share in \(0, 1\)"),
        ({"freeze": True, "thaw_after": 0}, "--thaw_after must be at least 1"),
        ({"thaw_after": 2}, "--thaw_after 2 thaws what nothing froze; add --freeze"),
        ({"freeze": True, "encoder_lr": 0.1}, "--encoder_lr 0.1 has no effect on an encoder that stays frozen"),
        ({"freeze": True, "layer_decay": 0.5}, "--layer_decay 0.5 has no effect on an encoder that stays frozen"),
    ],
)
def test_options_that_no_transfer_can_obey_are_refused(options: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        config(**options)

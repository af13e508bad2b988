"""All methods of pretraining, by the names that `--method` takes."""

from pkgutil import resolve_name

from pretrain.config import PretrainConfig
from pretrain.dense_recipes import (
    DecoderPretrainConfig,
    DeConConfig,
    DenseCLConfig,
    DistillConfig,
    SparKConfig,
    VICRegLConfig,
)
from pretrain.recipes import (
    BarlowTwinsConfig,
    BYOLConfig,
    DINOConfig,
    MoCoConfig,
    MoCoV3Config,
    SimCLRConfig,
    SimSiamConfig,
    SwAVConfig,
    VICRegConfig,
)

# A method of your own is a file and a line here, such as "mine": "pretrain.methods.mine:MineConfig" (docs/methods.md).
METHODS: dict[str, type[PretrainConfig] | str] = {
    "simclr": SimCLRConfig,
    "moco": MoCoConfig,
    "mocov3": MoCoV3Config,
    "byol": BYOLConfig,
    "simsiam": SimSiamConfig,
    "barlow_twins": BarlowTwinsConfig,
    "vicreg": VICRegConfig,
    "dino": DINOConfig,
    "swav": SwAVConfig,
    "densecl": DenseCLConfig,
    "vicregl": VICRegLConfig,
    "decoder": DecoderPretrainConfig,
    "decon": DeConConfig,
    "distill": DistillConfig,
    "spark": SparKConfig,
}


def recipe_of(method: str) -> type[PretrainConfig]:
    """The options of a method, imported where METHODS only names them."""
    options = METHODS[method]
    return resolve_name(options) if isinstance(options, str) else options

"""The learning rate that a batch size asks for."""

import math

from pretrain.config import PretrainConfig


def scaled_lr(config: PretrainConfig) -> float:
    """`lr` x sqrt(batch) for LARS (SimCLR, appendix B.1), lr x batch / 256 for SGD (Goyal et al. 2017), or lr."""
    match config.lr_scaling:
        case "sqrt":
            return config.lr * math.sqrt(config.batch_size)
        case "linear":
            return config.lr * config.batch_size / 256
        case "none":
            return config.lr

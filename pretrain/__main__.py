"""Pretrain an encoder on unlabelled images: `python -m pretrain --method simclr`."""

from dermssl.data.sources import quick_options, unlabelled_source
from dermssl.errors import one_sentence
from dermssl.flags import parse_choice
from pretrain.known_methods import METHODS

if __name__ == "__main__":
    with one_sentence("python -m pretrain", smaller="--batch_size or --image_size"):
        config = parse_choice(
            METHODS, "method", "python -m pretrain", quick=quick_options("pretrain", unlabelled_source(None))
        )
        from pretrain.run import run  # torch comes in here, after the flags are known to be right

        run(config)

"""Train a segmentation network from an encoder's weights: `python -m finetune --init ssl`."""

from dermssl.data.sources import labelled_source, quick_options
from dermssl.errors import one_sentence
from dermssl.flags import parse
from finetune.options.config import FinetuneConfig

if __name__ == "__main__":
    with one_sentence("python -m finetune", smaller="--batch_size or --image_size"):
        config = parse(FinetuneConfig, "python -m finetune", quick=quick_options("finetune", labelled_source(None)))
        from finetune.run import run  # torch comes in here, after the flags are known to be right

        run(config)

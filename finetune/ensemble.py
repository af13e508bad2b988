"""Write masks by several networks: `python -m finetune.ensemble --models RUN RUN --images DIR --out DIR`."""

from dermssl.errors import one_sentence
from dermssl.flags import parse
from finetune.predict.config import EnsembleConfig

if __name__ == "__main__":
    with one_sentence("python -m finetune.ensemble", smaller="--batch_size or --threads"):
        config = parse(EnsembleConfig, "python -m finetune.ensemble")
        from finetune.predict.run import (
            predict_masks_by_ensemble,
        )  # torch comes in here, after the flags are known to be right

        raise SystemExit(predict_masks_by_ensemble(config).exit_code)

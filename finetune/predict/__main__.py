"""Write masks of new images: `python -m finetune.predict --model RUN --images DIR --out DIR`."""

from dermssl.errors import one_sentence
from dermssl.flags import parse
from finetune.predict.config import PredictConfig

if __name__ == "__main__":
    with one_sentence("python -m finetune.predict", smaller="--batch_size or --threads"):
        config = parse(PredictConfig, "python -m finetune.predict")
        from finetune.predict.run import predict_masks  # torch comes in here, after the flags are known to be right

        raise SystemExit(predict_masks(config).exit_code)

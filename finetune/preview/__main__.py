"""Show what augmentation makes of a data set: `python -m finetune.preview --data DIR --augmentation strong`."""

from dermssl.errors import one_sentence
from dermssl.flags import parse
from finetune.preview.config import PreviewConfig

if __name__ == "__main__":
    with one_sentence("python -m finetune.preview", smaller="--image_size"):
        config = parse(PreviewConfig, "python -m finetune.preview")
        from finetune.preview.run import preview  # torch comes in here, after the flags are known to be right

        preview(config)

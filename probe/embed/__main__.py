"""Write an encoder's features of every picture: `python -m probe.embed --init ssl --out features.parquet`."""

from dermssl.errors import one_sentence
from dermssl.flags import parse
from probe.embed.config import EmbedConfig

if __name__ == "__main__":
    with one_sentence("python -m probe.embed", smaller="--batch_size or --image_size"):
        config = parse(EmbedConfig, "python -m probe.embed")
        from probe.embed.run import embed_pictures  # torch comes in here, after the flags are known to be right

        embed_pictures(config)

"""Run a whole study and write its report: `python -m compare --config configs/compare/demo.yaml`."""

from compare.config import StudyConfig
from dermssl.errors import one_sentence
from dermssl.flags import parse
from dermssl.sources import CONFIGS, labelled

if __name__ == "__main__":
    with one_sentence("python -m compare"):
        demo = CONFIGS / "compare" / "demo.yaml" if labelled(None).synthetic else None
        config = parse(StudyConfig, "python -m compare", quick=demo)
        from compare.run import run  # torch comes in here, after the flags are known to be right

        run(config)

"""Run a whole study and write its report: `python -m compare --config configs/compare/demo.yaml`."""

from compare.config import StudyConfig
from dermssl.errors import one_sentence
from dermssl.flags import parse

if __name__ == "__main__":
    with one_sentence("python -m compare"):
        config = parse(StudyConfig, "python -m compare")
        from compare.run import run  # torch comes in here, after the flags are known to be right

        run(config)

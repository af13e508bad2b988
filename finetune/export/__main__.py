"""Write a run's network as ONNX: `python -m finetune.export --model RUN --out model.onnx`."""

from dermssl.errors import one_sentence
from dermssl.flags import parse
from finetune.export.config import ModelExportConfig

if __name__ == "__main__":
    with one_sentence("python -m finetune.export"):
        config = parse(ModelExportConfig, "python -m finetune.export")
        from finetune.export.run import export_onnx  # torch comes in here, after the flags are known to be right

        export_onnx(config)

"""What is kept of a notebook's outputs: small pictures, and nothing of the run or the machine that made them."""

import base64
import io
import re
from typing import Any

from PIL import Image

from dermssl.errors import UserError

WIDTH = 720  # pixels: most of a picture in a notebook
COLOURS = 96  # of its palette
STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=[_ \"{#])")  # ids that pandas draws for each styled table
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def without_noise(notebook: Any) -> Any:
    """The notebook with outputs that are equal in every run but for the bits of pictures.

    Raises:
        UserError: If a cell has written to stderr.
    """
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.execution_count = None
        cell.metadata = {}
        cell.outputs = [kept_output(output, number) for output in cell.outputs]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def kept_output(output: Any, number: int) -> Any:
    """One output of the code cell with this number."""
    if output.get("name") == "stderr":
        raise UserError(f"code cell {number + 1} wrote to stderr: {output['text'].strip()}")
    if "execution_count" in output:
        output["execution_count"] = None
    if "text" in output:
        output["text"] = ADDRESS.sub("", output["text"])
    if "data" in output:
        output["metadata"] = {}
        data = dict(output["data"])
        if len(data) > 1:
            data.pop("text/plain", None)  # what a table or a picture is called
        output["data"] = {kind: kept_data(kind, value, number) for kind, value in data.items()}
    return output


def kept_data(kind: str, data: Any, number: int) -> Any:
    """An output as one kind of data."""
    if kind == "image/png":
        return base64.b64encode(small_png(Image.open(io.BytesIO(base64.b64decode(data))), WIDTH, COLOURS)).decode()
    return ADDRESS.sub("", STYLED.sub(f"T_{number:05d}", data)) if isinstance(data, str) else data


def small_png(picture: Image.Image, width: int, colours: int) -> bytes:
    """A picture as a PNG with a palette, made smaller where it is wider than `width` pixels."""
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    data = io.BytesIO()
    paper.quantize(colours, dither=Image.Dither.NONE).save(data, format="PNG", optimize=True)
    return data.getvalue()

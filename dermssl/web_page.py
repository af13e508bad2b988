"""Web pages of one file: every text in them is escaped, nothing runs but what is ours, and no network is asked."""

import base64
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

# Forms and the base of addresses do not follow default-src.
CLOSED_PAGE = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:"


def page_templates(folder: Path) -> Environment:
    """The templates of a folder: what they fill in is escaped, a name that is missing is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def filled_page(
    templates: Environment,
    name: str,
    facts: Mapping[str, object],
    *,
    style: str,
    scripts: Mapping[str, str] = {},
    writes_styles: bool = False,
) -> str:
    """A page with its content security policy: a script that got in with a name would not be run.

    The template places `policy` in its head before all else, `style`, and each of `scripts` by its name.

    Args:
        templates: What `page_templates` returns.
        name: The template.
        facts: What it fills in.
        style: The style sheet.
        scripts: What may run, each under the name by which the template places it.
        writes_styles: Whether a script writes style sheets of its own.
    """
    runs = f"script-src {' '.join(map(source_hash, scripts.values()))}" if scripts else ""
    # A style attribute paints its element and no more, for nothing that it names is fetched.
    paints = "style-src 'unsafe-inline'" + ("" if writes_styles else f"; style-src-elem {source_hash(style)}")
    policy = "; ".join(filter(None, (CLOSED_PAGE, paints, runs)))
    return templates.get_template(name).render(
        **facts,
        policy=Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        style=Markup(f"<style>{style}</style>"),
        scripts={name: Markup(f"<script>{script}</script>") for name, script in scripts.items()},
    )


def source_hash(text: str) -> str:
    """How a policy names what stands in a script or style element, byte for byte."""
    digest = hashlib.sha256(text.encode("utf-8", errors="backslashreplace")).digest()  # as pages are written
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def web_picture(pixels: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as a data address in WebP."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()

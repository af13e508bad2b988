"""Pages of one file: what they let run, and that names in them are text."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from dermssl.web_page import filled_page, page_templates

TEMPLATE = "<head>{{ policy }}{{ style }}</head><b title=\"{{ name }}\">{{ name }}</b>{{ scripts['own'] }}"


def page(folder: Path, template: str = TEMPLATE, *, writes_styles: bool = False) -> str:
    (folder / "page.html.j2").write_text(template)
    inlined = {"style": "b { color: red }", "scripts": {"own": "let a = '<';"}, "writes_styles": writes_styles}
    facts = {"name": '"><script>alert(1)</script>'}
    return filled_page(page_templates(folder), "page.html.j2", facts, **inlined)  # type: ignore[arg-type]


def test_the_policy_names_script_and_style_by_their_hashes_and_closes_all_else(tmp_path: Path) -> None:
    written = page(tmp_path)
    texts = (b"b { color: red }", b"let a = '<';")
    hashes = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in texts]
    [policy] = re.findall('http-equiv="Content-Security-Policy" content="(.*?)"', written)
    assert policy.split("; ") == [
        "default-src 'none'", "base-uri 'none'", "form-action 'none'", "img-src data:", "style-src 'unsafe-inline'",
        f"style-src-elem 'sha256-{hashes[0]}'", f"script-src 'sha256-{hashes[1]}'",
    ]  # fmt: skip


def test_a_page_whose_script_writes_styles_is_let_to_and_runs_no_more_for_it(tmp_path: Path) -> None:
    written = page(tmp_path, writes_styles=True)
    assert "style-src-elem" not in written
    assert "script-src 'sha256-" in written


def test_names_are_escaped_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert page(tmp_path).count("<script>") == 1
    with pytest.raises(UndefinedError):
        page(tmp_path, "{{ nobody }}")

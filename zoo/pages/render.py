"""Templates to pages, everything that is put in escaped, style and script inlined."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from zoo.escape import clean_html

_TEMPLATES = Path(__file__).parent / "templates"


def render(
    template: str, *, script: str = "script.js", policy: str = "img-src data:", **context: Any
) -> str:
    """A page from a template that extends ``base.html``.

    The page's policy allows its own script and, unless said otherwise, pictures that it holds
    itself, nothing else: a name from the data cannot run or load anything even if it were not
    escaped.

    Args:
        template: its name among ``zoo/pages/templates``.
        script: name of its script there.
        policy: what the page may load, as a content security policy says it.
        **context: what it shows; only :class:`markupsafe.Markup` is taken as HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    code = _read(script)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    environment.globals |= {
        "style": Markup(_read("style.css")),
        "script": Markup(code),
        "policy": Markup(policy),
        "script_hash": f"sha256-{digest}",
    }
    return clean_html(environment.get_template(template).render(**context))


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")

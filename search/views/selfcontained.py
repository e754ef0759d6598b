"""Pages of one file: they load nothing from elsewhere, and run only the scripts that are written here.

The data of a page, among them what models wrote, is compressed and never part of its markup. A content security policy
names the hash of the script, so that nothing else can run.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from search.views.marks import ABOVE, MARKS, Mark

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def render_page(template: str, *, scripts: Sequence[str], payload: Mapping[str, Any], **context: Any) -> str:
    """Return a page.

    Args:
        template: Name of its template; its texts are escaped.
        scripts: Names of its scripts, in order; they share one scope.
        payload: What they read: plain JSON types. They also get the time of writing and the marks of the statuses.
        context: The variables of the template.
    """
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("search")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    def text_of(name: str) -> str:
        return loader.get_source(environment, name)[0]

    script = "\n".join(['"use strict";', *map(text_of, scripts)])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    common = {
        "written": round(datetime.datetime.now(tz=datetime.UTC).timestamp(), 1),
        "marks": {status.value: _mark(mark) for status, mark in MARKS.items()},
        "above": Mark("", ABOVE, 1).path,
    }
    page: str = environment.get_template(template).render(
        policy=_POLICY.format(digest=digest),
        style=Markup(text_of("pages.css")),
        script=Markup(script),
        payload=pack({**payload, **common}),
        **context,
    )
    return page


def pack(payload: Mapping[str, Any]) -> str:
    """Return plain JSON types as text for a page: compressed, in base64."""
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def unpack(page: str) -> dict[str, Any]:
    """Return the payload of a page."""
    packed = page.partition('id="payload">')[2].partition("<")[0]
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def _mark(mark: Mark) -> dict[str, Any]:
    return {"colour": mark.colour, "path": mark.path, "size": mark.size}

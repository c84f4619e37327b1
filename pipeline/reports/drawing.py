"""Draw a chart: from a Vega-Lite specification to SVG that belongs into a page of either colour scheme."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

SVG = "http://www.w3.org/2000/svg"

DRAWN = {"svg", "g", "path", "line", "rect", "text", "circle"}
"""The elements of which charts consist; others are left out, whatever a text may have brought in."""

KEPT = re.compile(
    r"d|[xy][12]?|r|c[xy]|width|height|transform|viewBox|fill|fill-opacity|stroke|stroke-(?:width|dasharray|opacity)|opacity|"
    r"text-anchor|font-(?:size|weight)"
)
"""Their attributes."""

COORDINATE = re.compile(r"-?\d+\.\d{2,}")


def draw(spec: Mapping[str, Any], description: str) -> str:
    """Return the chart that *spec* describes as an element of HTML; *description* says what it shows to who cannot see it."""
    import vl_convert  # noqa: PLC0415 - 87 MB, for a report only

    drawn = vl_convert.vegalite_to_svg(dict(spec), allowed_base_urls=[])
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    _tidy(root)
    for name in ("width", "height"):  # as wide as the page lets it be
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", description)
    return ET.tostring(root, encoding="unicode")


def _tidy(element: ET.Element) -> None:
    element.tag = element.tag.removeprefix(f"{{{SVG}}}")
    element.attrib = {
        name: _shortened(value)
        for name, value in element.attrib.items()
        if KEPT.fullmatch(name) and (name, value) not in {("opacity", "1"), ("transform", "translate(0,0)")}
    }
    for child in list(element):
        if child.tag.removeprefix(f"{{{SVG}}}") not in DRAWN or child.get("display") == "none":
            element.remove(child)
            continue
        _tidy(child)
        child.tail = None
        if (child.tag == "g" and not len(child)) or (
            child.tag == "path" and (not child.get("d") or not {"fill", "stroke"} & set(child.attrib))
        ):
            element.remove(child)


def _shortened(value: str) -> str:
    return COORDINATE.sub(lambda found: f"{float(found[0]):.1f}", value)

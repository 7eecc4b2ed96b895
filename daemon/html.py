"""HTML for a daemon's page: elements whose every text is escaped, and one document that needs nothing else.

The document follows the browser's light or dark mode, fits a telephone, and has neither scripts nor anything
from elsewhere.
"""

from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #cf222e; }
:root { --odd: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --odd: #d29922; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
header { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; margin-bottom: 1rem; }
.badge { border: 1px solid; border-radius: 1rem; padding: 0 .6rem; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.odd { color: var(--odd); }
.dim { opacity: .65; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; }
dt { opacity: .65; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; opacity: .65; font-weight: 500; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .8rem .4rem 0; vertical-align: top; }
td { overflow-wrap: break-word; }
td:last-child { overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; }
code { font: .9em ui-monospace, monospace; background: var(--soft); border-radius: .3rem; }
code { padding: .1rem .35rem; }
.hint { display: block; margin-top: .25rem; white-space: pre-wrap; user-select: all; }
@media (max-width: 44rem) {
  thead { display: none; }
  tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0; }
  td { display: inline-block; border: 0; padding: 0 .6rem 0 0; }
  td:last-child { display: block; }
}
footer { margin-top: 2rem; border-top: 1px solid var(--line); padding-top: .5rem; }
footer a { margin-right: 1rem; }
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """Makes an element.

    Args:
        tag: The element's name.
        children: `Markup` as it is; any other text is escaped.
        attributes: Values are escaped; a trailing underscore is dropped from a name (``class_``).
    """
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    given = "".join(f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{given}>{inner}</{tag}>")


def badge(text: str, tone: str) -> Markup:
    """Makes a label in one of the tones ``good``, ``bad``, ``odd`` and ``dim``."""
    return element("span", text, class_=f"badge {tone}")


def hint(text: str) -> Markup:
    """Makes a block that one click selects whole, to be copied."""
    return element("code", text, class_="hint", title="click selects all")


def facts(pairs: dict[str, str]) -> Markup:
    """Makes a list of names with what they stand for; empty values are left out."""
    given = [(element("dt", name), element("dd", value)) for name, value in pairs.items() if value]
    return element("dl", *(part for pair in given for part in pair))


def table(head: list[str], rows: list[list[str]]) -> Markup:
    """Makes a table that scrolls sideways where it does not fit."""
    cells = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    titles = element("tr", *(element("th", title, scope="col") for title in head))
    return element("div", element("table", element("thead", titles), element("tbody", *cells)), class_="wide")


def document(title: str, *body: str, links: tuple[str, ...] = ()) -> str:
    """Returns a whole document; ``links`` are paths of ours for its foot."""
    foot = element("footer", *(element("a", link, href=link) for link in links))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{element('title', title)}<style>{STYLE}</style></head><body>"
        f"{element('main', *body)}{foot}</body></html>\n"
    )

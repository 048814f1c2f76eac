"""
What happens to a page on its way from docs/ to the site.

    docs/NAME.md ──► links ──► drawings ──► build/site/NAME.html

Pages are read in a terminal, too, and printed advice names them there: they name each other as
`docs/NAME.md`, and here that becomes a link, so that a page that is gone fails the build. What is
drawn stands in the page as the text that `dot` draws. Nothing of the site may come from elsewhere:
a hospital's network lets nothing in, and whoever reads of a fault at night has it on the disk.

Decisions: D-docs-site.
"""

import json
import posixpath
import re
import shutil
import subprocess
from html import escape
from pathlib import Path

from elsewhere import fetched
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from bars_gateway.epr import contract

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "build" / "pictures"  # by the tests of the console: make docs
OTHERS = {"security.md": ROOT / "SECURITY.md"}  # pages that people look for elsewhere
ALSO = {path.name: name for name, path in OTHERS.items()}  # what docs/ calls them
NAMED = re.compile(r"`(?:docs/)?([\w/-]+\.md)`")
CODE = re.compile(
    r"`[^`\n]+`"
)  # elsewhere a bar in it is escaped within a table; here it needs none
MARK = re.compile(r"^<!--.*?-->$", re.MULTILINE)
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_LOOK = (
    *("-Gbgcolor=transparent", "-Gfontname=Helvetica", "-Gfontsize=11"),
    *("-Nfontname=Helvetica", "-Nfontsize=11", "-Nshape=box", "-Nstyle=rounded"),
    *("-Nheight=0.35", "-Nmargin=0.12,0.05"),
    *("-Efontname=Helvetica", "-Efontsize=9.5", "-Earrowsize=0.6"),
)
_titles: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Have what stands in a page as text for `dot` drawn."""
    fence = {"name": "dot", "class": "drawing", "format": drawn}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/."""
    for name, path in OTHERS.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for picture in sorted(PICTURES.glob("*.png")):
        added = File.generated(config, f"pictures/{picture.name}", abs_src_path=str(picture))
        files.append(added)
    described = json.dumps(contract.described(), indent=1, ensure_ascii=False)
    files.append(File.generated(config, "openapi.json", content=described))
    return files


def on_nav(nav: Navigation, **_: object) -> Navigation:
    """Learn what each page is called."""
    _titles.update({page.file.src_uri: str(page.title or "") for page in nav.pages})
    return nav


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Make a link of each page that is named, and leave out the marks of what prints and tests."""

    def changed(text: str) -> str:
        text = CODE.sub(lambda found: found[0].replace(r"\|", "|"), text)
        return MARK.sub("", _linked(text, page.file.src_uri))

    done, at = [], 0
    for fence in FENCED.finditer(markdown):
        done += [changed(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*done, changed(markdown[at:])])


def _linked(text: str, here: str) -> str:
    folder = posixpath.dirname(here)

    def link(found: re.Match[str]) -> str:
        named = ALSO.get(found[1], found[1])
        for name in (named, posixpath.join(folder, named)):
            if name in _titles:
                return f"[{_titles[name]}]({posixpath.relpath(name, folder or '.')})"
        if found[0].startswith("`docs/"):
            raise PluginError(f"{here} names a page that is not there: {found[0]}")
        return found[0]

    return NAMED.sub(link, text)


def drawn(source: str, *_: object, **__: object) -> str:
    """Return *source* as SVG; its name is read to whoever does not see it."""
    dot = shutil.which("dot")
    if dot is None:
        raise PluginError("There is no dot, which draws: install graphviz.")
    done = subprocess.run(
        [dot, "-Tsvg", *_LOOK], input=source, capture_output=True, text=True, check=False
    )
    name = re.match(r'digraph "(.+)" {$', source, re.MULTILINE)
    if name is None or done.returncode or done.stderr:
        raise PluginError(f'This is no digraph "NAME" that dot draws: {done.stderr}\n{source}')
    svg = done.stdout[done.stdout.index("<svg") :]
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(name[1])}" ', 1)
    return f'<figure class="drawing">{svg}</figure>'


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Let nothing through that a browser would fetch from elsewhere."""
    _refuse_elsewhere(page.file.src_uri, output)
    return output


def on_post_build(config: MkDocsConfig) -> None:
    """Nor in a style sheet, be it the theme's."""
    for path in sorted(Path(config.site_dir).rglob("*.css")):
        _refuse_elsewhere(path.name, path.read_text("utf-8"))


def _refuse_elsewhere(name: str, text: str) -> None:
    if found := fetched(text):
        raise PluginError(f"{name} would fetch something from elsewhere: {found}")

"""A page as a list of blocks, written as Markdown and as one HTML file; no JAX.

Texts are plain, but for `code` and **strong**. The HTML file holds its style
and pictures and asks for nothing from outside.
"""

import base64
import dataclasses
import html
import re
from collections.abc import Sequence

# What colours a cell; its text always says the same.
TONES = ("good", "bad", "open", "missing")


@dataclasses.dataclass(frozen=True)
class Heading:
  """A section's heading, level 1 to 3."""

  level: int
  text: str


@dataclasses.dataclass(frozen=True)
class Paragraph:
  """Running text."""

  text: str


@dataclasses.dataclass(frozen=True)
class Bullets:
  """A list."""

  items: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Code:
  """Lines to type."""

  text: str


@dataclasses.dataclass(frozen=True)
class Cell:
  """A cell of a table; the tone is one of TONES or ""."""

  text: str
  tone: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
  """A table; line breaks within a cell are kept.

  Attributes:
    header: the columns' names.
    rows: as long as the header.
    is_prose: cells hold sentences: on a phone each row becomes a card.
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str | Cell]]
  is_prose: bool = False

  def __post_init__(self) -> None:
    for row in self.rows:
      if len(row) != len(self.header):
        raise ValueError(f"{len(row)} cells under {len(self.header)} names")


@dataclasses.dataclass(frozen=True)
class Tile:
  """A part of a picture; no PNG where it is missing, the tone as a cell's."""

  name: str
  png: bytes | None
  caption: str = ""
  tone: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture, whose files are named by the stem.

  Attributes:
    stem: name of its files.
    alt: what it shows, for those who do not see it.
    png: the PNG, which Markdown shows.
    svg: the SVG, which HTML shows.
    width: in CSS pixels, how wide that is where there is room.
    tiles: what HTML shows instead, as many beside each other as there is room
      for, with text below that can be read on a phone.
  """

  stem: str
  alt: str
  png: bytes
  svg: bytes
  width: int
  tiles: Sequence[Tile] = ()


@dataclasses.dataclass(frozen=True)
class Figure:
  """Pictures side by side, as far as there is room, over one caption."""

  pictures: Sequence[Picture]
  caption: str


Block = Heading | Paragraph | Bullets | Code | Table | Figure


def markdown(blocks: Sequence[Block]) -> str:
  """The page as Markdown; pictures are files beside it."""
  return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def page(blocks: Sequence[Block], *, title: str) -> str:
  """The page as one HTML file."""
  entries = [
    f'<a href="#{_anchor(block.text)}">{_inline(block.text)}</a>'
    for block in blocks
    if isinstance(block, Heading) and block.level == 2
  ]
  body = "\n".join(_html(block) for block in blocks)
  # The contents stand below the title.
  head, separator, rest = body.partition("</h1>")
  navigation = f"\n<nav>{' '.join(entries)}</nav>" if entries else ""
  body = head + separator + navigation + rest
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
    f"<title>{html.escape(title)}</title>\n"
    f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
    "</body>\n</html>\n"
  )


def _markdown(block: Block) -> str:
  match block:
    case Heading(level, text):
      return f"{'#' * level} {text}"
    case Paragraph(text):
      return text
    case Bullets(items):
      return "\n".join(f"- {item}" for item in items)
    case Code(text):
      return f"```\n{text}\n```"
    case Table():
      rule = ["---"] * len(block.header)
      lines = [block.header, rule, *block.rows]
      return "\n".join(
        f"| {' | '.join(_markdown_cell(cell) for cell in line)} |"
        for line in lines
      )
    case Figure(pictures, caption):
      images = " ".join(
        f"![{picture.alt}]({picture.stem}.png)" for picture in pictures
      )
      return f"{images}\n\n*{caption}*" if images else f"*{caption}*"


def _markdown_cell(cell: str | Cell) -> str:
  text = cell.text if isinstance(cell, Cell) else cell
  return text.replace("|", "\\|").replace("\n", "<br>")


def _html(block: Block) -> str:
  match block:
    case Heading(level, text):
      anchor = _anchor(text)
      return f'<h{level} id="{anchor}">{_inline(text)}</h{level}>'
    case Paragraph(text):
      return f"<p>{_inline(text)}</p>"
    case Bullets(items):
      lines = "\n".join(f"<li>{_inline(item)}</li>" for item in items)
      return f"<ul>\n{lines}\n</ul>"
    case Code(text):
      return f'<pre tabindex="0"><code>{html.escape(text)}</code></pre>'
    case Table():
      return _html_table(block)
    case Figure(pictures, caption):
      images = "\n".join(map(_html_picture, pictures))
      shown = f'<div class="pictures">{images}</div>\n' if images else ""
      return (
        f"<figure>\n{shown}<figcaption>{_inline(caption)}</figcaption>\n"
        "</figure>"
      )


def _html_table(table: Table) -> str:
  head = "".join(f'<th scope="col">{_inline(x)}</th>' for x in table.header)
  lines = []
  for row in table.rows:
    cells = []
    for name, cell in zip(table.header, row, strict=True):
      text, tone = (
        (cell.text, cell.tone) if isinstance(cell, Cell) else (cell, "")
      )
      style = f' class="{tone}"' if tone else ""
      label = html.escape(name)
      # Each line by itself, so that its continuation can be indented.
      lines_of_cell = "".join(
        f'<span class="line">{_inline(line)}</span>'
        for line in text.split("\n")
      )
      inner = lines_of_cell if table.is_prose else _inline(text)
      cells.append(f'<td{style} data-label="{label}">{inner}</td>')
    lines.append(f"<tr>{''.join(cells)}</tr>")
  kind = "prose" if table.is_prose else "numbers"
  # A table wider than the screen scrolls in this box, by keyboard as well.
  return (
    f'<div class="table {kind}" tabindex="0" role="region" '
    f'aria-label="{html.escape(table.header[0])}"><table>\n'
    f"<thead><tr>{head}</tr></thead>\n"
    f"<tbody>\n{chr(10).join(lines)}\n</tbody>\n</table></div>"
  )


def _html_picture(picture: Picture) -> str:
  if not picture.tiles:
    source = _data_uri("svg+xml", picture.svg)
    alt = html.escape(picture.alt)
    return f'<img alt="{alt}" width="{picture.width}" src="{source}"/>'
  tiles = []
  for tile in picture.tiles:
    image = '<div class="blank">not run</div>'
    if tile.png is not None:
      alt = html.escape(f"{tile.name}, {tile.caption}".removesuffix(", "))
      image = f'<img alt="{alt}" src="{_data_uri("png", tile.png)}"/>'
    style = f' class="{tile.tone}"' if tile.tone else ""
    tiles.append(
      f'<div class="tile">{image}<div>{_inline(tile.name)}</div>'
      f"<div{style}>{_inline(tile.caption)}</div></div>"
    )
  # On a phone three stand in a row, or two where that leaves none alone.
  style = "tiles pairs" if len(tiles) % 3 == 1 else "tiles"
  return f'<div class="{style}">{"".join(tiles)}</div>'


def _data_uri(kind: str, data: bytes) -> str:
  return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _inline(text: str) -> str:
  text = html.escape(text)
  text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
  text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
  return text.replace("\n", "<br/>")


def _anchor(text: str) -> str:
  return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1d2327; --soft: #5a646b; --line: #d5dadd;
  --stripe: #f3f5f4; --link: #00568a;
  --good: #0b6e4f; --bad: #a8321c; --open: #7a5b00; --missing: #6b747b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15191c; --ink: #e4e8ea; --soft: #a3adb3; --line: #39424a;
    --stripe: #1d2327; --link: #7cc4f4;
    --good: #5fd0a5; --bad: #ff9a80; --open: #e5c15a; --missing: #9aa4aa;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  overflow-wrap: break-word;
}
main { max-width: 1240px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .6rem 0 1rem; }
h2 {
  font-size: 1.3rem; margin: 2.4rem 0 .6rem; padding-top: .5rem;
  border-top: 1px solid var(--line);
}
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 46rem; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: .2rem .9rem; font-size: .92rem; }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace; }
code { font-size: .88em; overflow-wrap: anywhere; }
pre {
  overflow-x: auto; padding: .7rem .9rem; background: var(--stripe);
  border: 1px solid var(--line); border-radius: 6px;
}
pre code { overflow-wrap: normal; }
.table { overflow-x: auto; margin: .8rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.4; }
th, td { padding: .35rem .65rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid var(--line); font-weight: 600; }
td { border-bottom: 1px solid var(--line); }
.numbers td, .numbers th {
  white-space: nowrap; font-variant-numeric: tabular-nums;
}
.numbers th:first-child, .numbers td:first-child {
  position: sticky; left: 0; background: var(--paper);
}
.prose td { min-width: 8rem; }
.prose td:first-child, .prose td:nth-child(2) { min-width: 14rem; }
.prose td:nth-child(3) { min-width: 28rem; }
.prose .line { display: block; }
.prose td:nth-child(3) .line { padding-left: 1.2em; text-indent: -1.2em; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.open { color: var(--open); }
.missing { color: var(--missing); }
.prose .good, .prose .bad, .prose .open { font-weight: 600; }
figure { margin: 1rem 0 1.6rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; }
.pictures img {
  max-width: 100%; height: auto; background: #fff; border-radius: 6px;
  border: 1px solid var(--line);
}
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; }
.tile {
  width: 8.6rem; text-align: center; font-size: .85rem; line-height: 1.3;
}
.tile img, .tile .blank {
  width: 100%; aspect-ratio: 1; border-radius: 0; image-rendering: pixelated;
  display: grid; place-content: center; color: var(--missing);
  background: var(--stripe);
}
figcaption {
  color: var(--soft); font-size: .9rem; max-width: 46rem; margin-top: .4rem;
}
@media (max-width: 720px) {
  main { padding: .8rem; }
  .tile { width: calc((100% - 1.4rem) / 3); }
  .pairs .tile { width: calc((100% - .7rem) / 2); }
  .prose thead { display: none; }
  .prose table, .prose tbody, .prose tr, .prose td { display: block; }
  .prose tr {
    border: 1px solid var(--line); border-radius: 8px; margin: 0 0 .9rem;
    padding: .3rem .2rem;
  }
  .prose td:nth-child(n) { border: 0; min-width: 0; }
  .prose td::before {
    content: attr(data-label); display: block; color: var(--soft);
    font-size: .75rem; font-weight: 400;
  }
  .numbers th:first-child, .numbers td:first-child {
    white-space: normal; min-width: 6.5rem; max-width: 9rem;
  }
}
"""

"""A page as a list of blocks, written as Markdown and as one HTML file; no JAX.

Texts are plain, but for `code` and **strong**. The HTML file holds its style
and pictures and asks for nothing from outside.
"""

import base64
import dataclasses
import html
import re
from collections.abc import Sequence
from importlib import resources

# Colors of a cell; its text always says the same.
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
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str | Cell]]

  def __post_init__(self) -> None:
    for row in self.rows:
      if len(row) != len(self.header):
        raise ValueError(f"{len(row)} cells under {len(self.header)} names")


@dataclasses.dataclass(frozen=True)
class Tile:
  """A part of a picture; png is None if missing, the tone as in a cell."""

  name: str
  png: bytes | None
  caption: str = ""
  tone: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture, whose files are named by the stem.

  Attributes:
    stem: name of its files.
    alt: what it shows, for readers who cannot see it.
    png: shown by Markdown.
    svg: shown by HTML; empty for a picture of pixels, whose PNG is shown.
    width: width of what HTML shows in CSS pixels, if there is room.
    tiles: shown by HTML instead, as many in a row as there is room
      for, with text that can be read on a phone.
  """

  stem: str
  alt: str
  png: bytes
  svg: bytes
  width: int
  tiles: Sequence[Tile] = ()


@dataclasses.dataclass(frozen=True)
class Figure:
  """Pictures side by side, if there is room, above one caption."""

  pictures: Sequence[Picture]
  caption: str


@dataclasses.dataclass(frozen=True)
class Details:
  """Blocks that open on a click, below a line that always shows.

  Attributes:
    summary: the line.
    blocks: what opens.
    mark: a word or two at the line's start, in the tone's color.
    tone: as in a cell.
  """

  summary: str
  blocks: Sequence["Block"]
  mark: str = ""
  tone: str = ""


Block = Heading | Paragraph | Bullets | Code | Table | Figure | Details


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
  # The contents are below the title.
  head, separator, rest = body.partition("</h1>")
  navigation = f"\n<nav>{' '.join(entries)}</nav>" if entries else ""
  body = head + separator + navigation + rest
  css = resources.files("sr2_jax.report") / "page.css"
  style = css.read_text(encoding="utf-8")
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
    f"<title>{html.escape(title)}</title>\n"
    f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
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
    case Details(summary, inner, mark):
      line = _inline(f"**{mark}** {summary}" if mark else summary)
      body = "\n\n".join(map(_markdown, inner))
      # The attribute is for the site; code hosts need only the blank lines.
      return (
        f'<details markdown="1"><summary>{line}</summary>\n\n{body}\n\n'
        "</details>"
      )


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
    case Details(summary, inner, mark, tone):
      marked = f'<span class="mark {tone}">{_inline(mark)}</span> '
      body = "\n".join(map(_html, inner))
      return (
        f'<details class="{tone}"><summary>{marked if mark else ""}'
        f"{_inline(summary)}</summary>\n{body}\n</details>"
      )


def _html_table(table: Table) -> str:
  head = "".join(f'<th scope="col">{_inline(x)}</th>' for x in table.header)
  lines = []
  for row in table.rows:
    cells = []
    for cell in row:
      text, tone = (
        (cell.text, cell.tone) if isinstance(cell, Cell) else (cell, "")
      )
      style = f' class="{tone}"' if tone else ""
      cells.append(f"<td{style}>{_inline(text)}</td>")
    lines.append(f"<tr>{''.join(cells)}</tr>")
  # A table wider than the screen scrolls in this box, by keyboard as well; the
  # box has a shadow at the side where it goes on.
  return (
    f'<div class="table" tabindex="0" role="region" '
    f'aria-label="{html.escape(table.header[0])}"><table>\n'
    f"<thead><tr>{head}</tr></thead>\n"
    f"<tbody>\n{chr(10).join(lines)}\n</tbody>\n</table></div>"
  )


def _html_picture(picture: Picture) -> str:
  if not picture.tiles:
    source = _data_uri("png", picture.png)
    if picture.svg:
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
  # On a phone a row has three tiles, or two if three would leave one over.
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

import base64
import re
from xml.etree import ElementTree

import pytest

from sr2_jax.report import blocks as blocks_lib

PNG, SVG = b"\x89PNG...", b"<svg/>"
PICTURE = blocks_lib.Picture("fig4", 'what "it" shows', PNG, SVG, width=500)
BLOCKS = [
  blocks_lib.Heading(1, "Title & more"),
  blocks_lib.Paragraph("Some `code` <b> and **strong** text."),
  blocks_lib.Heading(2, "Part one"),
  blocks_lib.Bullets(["a", "b"]),
  blocks_lib.Code("python -m x > y"),
  blocks_lib.Table(("σ²", "a|b"), [("0", blocks_lib.Cell("✓ yes", "good"))]),
  blocks_lib.Table(("says", "x"), [("line 1\nline 2", "1")]),
  blocks_lib.Figure([PICTURE], "A caption."),
  blocks_lib.Figure([], "Not run."),
  blocks_lib.Details(
    "A <claim>", [blocks_lib.Paragraph("Its numbers.")], "✓ holds", "good"
  ),
  blocks_lib.Details("More", [blocks_lib.Bullets(["c"])]),
]


def parse(page):
  """The page as a tree; raises where a tag is not closed."""
  assert page.startswith("<!DOCTYPE html>\n")
  return ElementTree.fromstring(page.partition("\n")[2])


def test_html_is_well_formed_and_complete():
  tree = parse(blocks_lib.page(BLOCKS, title="T & t"))
  assert tree.find("head/title").text == "T & t"
  names = {meta.get("name") for meta in tree.iter("meta")}
  assert "viewport" in names
  assert tree.find("body/main/h1").text == "Title & more"
  # The contents follow the title and lead to the parts.
  [link] = tree.findall("body/main/nav/a")
  assert tree.find(f".//h2[@id='{link.get('href')[1:]}']").text == "Part one"
  assert [x.text for x in tree.iter("strong")] == ["strong"]
  assert [x.text for x in tree.iter("code")] == ["code", "python -m x > y"]
  assert [x.text for x in tree.iter("td") if x.get("class") == "good"] == [
    "✓ yes"
  ]
  first, second = tree.findall("body/main/details")
  assert [x.get("class") for x in first.iter("span")] == ["mark good"]
  assert "".join(first.find("summary").itertext()) == "✓ holds A <claim>"
  assert first.find("p").text == "Its numbers."
  assert second.find("summary").text == "More"
  assert [x.text for x in second.iter("li")] == ["c"]


def test_html_holds_its_pictures_and_asks_for_nothing():
  page = blocks_lib.page(BLOCKS, title="T")
  [image] = parse(page).iter("img")
  kind, _, data = image.get("src").partition(",")
  assert kind == "data:image/svg+xml;base64"
  assert base64.b64decode(data) == SVG
  assert image.get("alt") == 'what "it" shows'
  assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", page)


def test_tiles_take_the_place_of_their_picture():
  tiles = [
    blocks_lib.Tile("(a) Truth", PNG, "3"),
    blocks_lib.Tile("(b) Net", PNG, "reads 5 ✗", "bad"),
    blocks_lib.Tile("(c) Other", None),
  ]
  picture = blocks_lib.Picture("fig5", "alt", PNG, SVG, 500, tiles)
  tree = parse(blocks_lib.page([blocks_lib.Figure([picture], "c")], title="T"))
  images = [*tree.iter("img")]
  assert [image.get("alt") for image in images] == [
    "(a) Truth, 3", "(b) Net, reads 5 ✗",
  ]  # fmt: skip
  text = " ".join(tree.itertext())
  assert "not run" in text
  assert [x.text for x in tree.iter("div") if x.get("class") == "bad"] == [
    "reads 5 ✗"
  ]


def test_markdown_in_full():
  assert blocks_lib.markdown(BLOCKS) == (
    "# Title & more\n\n"
    "Some `code` <b> and **strong** text.\n\n"
    "## Part one\n\n"
    "- a\n- b\n\n"
    "```\npython -m x > y\n```\n\n"
    "| σ² | a\\|b |\n| --- | --- |\n| 0 | ✓ yes |\n\n"
    "| says | x |\n| --- | --- |\n| line 1<br>line 2 | 1 |\n\n"
    '![what "it" shows](fig4.png)\n\n*A caption.*\n\n'
    "*Not run.*\n\n"
    '<details markdown="1"><summary><strong>✓ holds</strong> A &lt;claim&gt;'
    "</summary>\n\nIts numbers.\n\n</details>\n\n"
    '<details markdown="1"><summary>More</summary>\n\n- c\n\n</details>\n'
  )


def test_a_row_has_a_cell_for_each_name():
  with pytest.raises(ValueError, match="1 cells under 2"):
    blocks_lib.Table(("a", "b"), [("1",)])

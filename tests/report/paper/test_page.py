import html
import json
import re
import subprocess
from xml.etree import ElementTree

import pytest

from sr2_jax import names
from sr2_jax.records import json_lines
from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import page as page_lib
from tests import browser, paper_world, result_rows
from tests.report.own_data import worlds

COMMAND = "python -m sr2_jax.report runs/paper --out report"


def _write(folder, out):
  measurements = measurements_lib.read(folder, split="test")
  return page_lib.write(measurements, out, command=COMMAND)


def _tree(path):
  return ElementTree.fromstring(path.read_text().partition("\n")[2])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
  """The page of a whole sweep."""
  folder = tmp_path_factory.mktemp("paper")
  paper_world.write_paper(folder / "runs", examples=True)
  _write(folder / "runs", folder / "report")
  return folder / "report"


def test_the_page_and_its_figures_are_there(report):
  stems = {path.stem for path in report.iterdir()}
  assert stems == {
    "report", "effect_noise", "effect_epochs", "effect_mnist_x4",
    "fig4_x2", "fig4_x4", "fig5", "fig6_x2", "fig6_x4", "fig7",
    "fig8", "fig9", "fig10_x2", "fig10_x4",
  }  # fmt: skip
  for stem in stems - {"report"}:
    assert (report / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    ElementTree.parse(report / f"{stem}.svg")
  text = (report / "report.md").read_text()
  shown = re.findall(r"\]\((.*?)\.png\)", text)
  assert set(shown) == stems - {"report"}


def test_html_is_well_formed_and_asks_for_nothing(report):
  page = (report / "report.html").read_text()
  tree = _tree(report / "report.html")
  sources = [image.get("src") for image in tree.iter("img")]
  assert len(sources) > 20
  assert all(source.startswith("data:image/") for source in sources)
  assert all(x.get("href").startswith("#") for x in tree.iter("a"))
  assert not re.search(r"https?:|<script|<link|@import|url\(", page)
  anchors = {x.get("href")[1:] for x in tree.iter("a")}
  assert anchors <= {x.get("id") for x in tree.iter("h2")}


def test_the_page_says_what_it_is_made_of(report):
  text = (report / "report.md").read_text()
  assert COMMAND in text
  assert text.index("**Classification improves") < text.index("## Table 1")
  assert text.index("(effect_noise.png)") < text.index("## Table 1")
  assert text.index("## Table 1") < text.index("## Claims")
  assert "Tested here: 25 of 26 claims" in text
  [line] = [x for x in text.splitlines() if x.startswith("| mnist_wdsr_x4")]
  for part in (
    "| 0, 1, 2 | 7 | 12 |",
    "0123456789 with changes",
    "1 × cpu, 2 cores",
    "finished",
  ):
    assert part in line
  missing = text.partition("<summary>Not run: ")[2]
  assert "- SRMD retrained, mnist, x2" in missing


def test_both_statistics_of_one_run_are_not_older_rows(tmp_path):
  """The authors' protocol beside the other is no earlier measurement."""
  new, other = tmp_path / "runs", tmp_path / "other"
  for folder, batch_norm in ((new, "reestimated"), (other, "running")):
    paper_world.write_run(
      folder, "sr2_fsrcnn", lambda *_: 0.7, batch_norm=batch_norm, arrays=False
    )
  rows_lib.merge(new / rows_lib.FILE_NAME, rows_lib.read(other))
  _write(new, tmp_path / "a")
  assert "The older rows" not in (tmp_path / "a" / "report.md").read_text()
  assert "Older rows" not in (tmp_path / "a" / "report.md").read_text()
  # Rows that have nothing else are.
  _write([new, other], tmp_path / "b")
  assert "Older rows" in (tmp_path / "b" / "report.md").read_text()


def test_a_file_of_rows_makes_a_page(tmp_path):
  rows = result_rows.run()
  changed = [
    {**json.loads(json_lines.dump(vars(row))), "dataset": "mnist"}
    for row in rows
  ]
  rows_lib.merge(
    tmp_path / "rows.jsonl", [rows_lib.Row(**fields) for fields in changed]
  )
  _write(tmp_path / "rows.jsonl", tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  assert "rows.jsonl (rows only)" in text
  assert "**Epochs unknown**" in text
  assert "Not shown: Fig. 5, 7, 8, 9." in text
  _tree(tmp_path / "out" / "report.html")


def test_a_stand_in_is_named_first(tmp_path):
  paper_world.write_run(
    tmp_path / "run", "wdsr", paper_world.constant(0.7), dataset="mnist5k"
  )
  measurements = measurements_lib.read(
    tmp_path, split="test", stand_ins={"mnist": "mnist5k"}
  )
  page_lib.write(measurements, tmp_path / "out", command=COMMAND)
  text = (tmp_path / "out" / "report.md").read_text()
  head = text.partition("## Table 1")[0]
  assert "trained differently" not in head
  assert "runs on mnist5k replace them" in head
  assert "| WDSR | 0.768 | 0.700 ± 0.002 |" in text


def test_rows_alone_say_the_numbers_and_verdicts_of_run_folders(
  report, tmp_path
):
  runs = report.parent / "runs"
  for number, file in enumerate(sorted(runs.rglob("results.jsonl"))):
    (tmp_path / f"{number}.jsonl").write_bytes(file.read_bytes())
  _write(tmp_path, tmp_path / "out")

  def said(folder):
    text = (folder / "report.md").read_text()
    # Scores of images add what they are over, and nothing else.
    text = re.sub(r" \(images ± [^)]*\)|, 12 images", "", text)
    text = text.partition("## The paper's figures")[0]
    return text.replace(", cut at the frame", "")

  assert (
    said(tmp_path / "out").partition("## Table 1")[2]
    == (said(report).partition("## Table 1")[2])
  )


def test_nothing_of_the_paper_is_a_page_as_well(tmp_path):
  rows_lib.merge(tmp_path / "rows.jsonl", [result_rows.row(scale=3)])
  _write(tmp_path / "rows.jsonl", tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  assert "Of 26 claims: not run: **26**." in text
  assert not list((tmp_path / "out").glob("*.png"))


def test_the_page_has_claims_and_tables_of_corruptions(tmp_path):
  rows = [
    result_rows.row(
      method,
      dataset="mnist",
      metric=metric,
      corruption=kind,
      corruption_level=level,
      seed=seed,
      value=value + 0.001 * seed,
      loss_weight=0.11 if method == "sequential_fsrcnn" else 9.0,
    )
    for method, value in (("sr2_fsrcnn", 0.9), ("sequential_fsrcnn", 0.7))
    for metric in ("ssim_uniform7_range2", "accuracy")
    for kind in names.CORRUPTIONS
    for level in (1.0, 2.0)
    for seed in (0, 1, 2)
  ]
  rows_lib.merge(tmp_path / "rows.jsonl", rows)
  _write(tmp_path / "rows.jsonl", tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  part = text.partition("## Beyond Gaussian noise")[2].partition("\n## ")[0]
  assert part.count("| Speckle") == 4
  [line] = [x for x in text.splitlines() if "report better generaliz" in x]
  assert "✓ holds" in line


@pytest.mark.skipif(browser.PATH is None, reason="needs Chromium on the path")
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_a_browser_shows_the_page_without_scrolling_sideways(
  report, tmp_path, width
):
  # A browser's window has a least width, so a frame stands for the screen.
  (tmp_path / "report.html").write_bytes((report / "report.html").read_bytes())
  (tmp_path / "frame.html").write_text(_FRAME.replace("WIDTH", str(width)))
  assert browser.PATH is not None
  done = subprocess.run(
    [
      browser.PATH, "--headless", "--no-sandbox", "--disable-gpu",
      "--allow-file-access-from-files", "--virtual-time-budget=20000",
      "--host-resolver-rules=MAP * ~NOTFOUND",
      f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
      (tmp_path / "frame.html").as_uri(),
    ],
    capture_output=True,
    text=True,
    timeout=300,
  )  # fmt: skip
  match = re.search(r"<pre>(.*?)</pre>", done.stdout)
  assert match is not None, done.stderr[-2000:]
  seen = json.loads(html.unescape(match[1]))
  assert seen["width"] == width
  assert seen["scrollWidth"] <= width
  assert seen["images"] > 20
  assert seen["broken"] == 0
  # Pictures within the page, and nothing else, were asked for.
  assert [name for name in seen["asked"] if not name.startswith("data:")] == []
  # Only boxes of tables and of code, which scroll by themselves, are wider.
  assert seen["outside"] == []


_FRAME = """<!DOCTYPE html>
<body><iframe src="report.html" style="width:WIDTHpx;height:900px;border:0">
</iframe><script>
onload = () => {
  const page = document.querySelector("iframe").contentWindow;
  const root = page.document.documentElement;
  const images = [...page.document.images];
  const scrolls = (x) => x.closest(".table, pre");
  const outside = [...page.document.querySelectorAll("main *")].filter(
    (x) => !scrolls(x) && x.getBoundingClientRect().right > page.innerWidth + 1
  );
  const seen = {
    width: page.innerWidth,
    scrollWidth: root.scrollWidth,
    images: images.length,
    broken: images.filter((x) => !x.complete || !x.naturalWidth).length,
    asked: page.performance.getEntriesByType("resource").map((x) => x.name),
    outside: outside.map((x) => x.outerHTML.slice(0, 80)),
  };
  document.body.innerHTML = "<pre></pre>";
  document.querySelector("pre").textContent = JSON.stringify(seen);
};
</script></body>
"""


def test_a_users_images_alone_are_not_held_against_the_paper(tmp_path):
  _write(worlds.write(tmp_path / "runs"), tmp_path / "report")
  text = (tmp_path / "report" / "report.md").read_text()
  assert text.startswith("# SR²: what was measured\n")
  assert "## plates, x4" in text
  assert COMMAND in text
  for words in ("Table 1", "Claims", "authors", "MNIST", "Not run"):
    assert words not in text
  page = (tmp_path / "report" / "report.html").read_text()
  assert page.count("data:image/png") == 2
  assert "<title>SR²: what was measured</title>" in page
  _tree(tmp_path / "report" / "report.html")


def test_a_users_images_come_after_the_papers(tmp_path):
  worlds.write(tmp_path / "runs")
  paper_world.write_run(
    tmp_path / "runs" / "wdsr", "wdsr", paper_world.constant(0.7)
  )
  _write(tmp_path / "runs", tmp_path / "report")
  text = (tmp_path / "report" / "report.md").read_text()
  assert text.index("## Claims") < text.index("## plates, x4")

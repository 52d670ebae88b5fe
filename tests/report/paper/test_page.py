import html
import json
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import page as page_lib
from tests import paper_world, result_rows

BROWSER = next(
  filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))),
  None,
)
COMMAND = "python -m sr2_jax.report runs/paper --out report"


def _write(folder, out):
  known = measurements_lib.read(folder, split="test")
  return page_lib.write(known, out, command=COMMAND)


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
    "report", "fig4_x2", "fig4_x4", "fig5", "fig6_x2", "fig6_x4", "fig7",
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


def test_numbers_stand_beside_the_papers(report):
  text = (report / "report.md").read_text()
  for line in (
    "| SR² FSRCNN | 0.828 |" + 3 * " 0.828 ± 0.000 |" + " 3 |",
    "| SRMD (released) | 0.803 | 0.803 | 0.803 | 0.803 | released |",
    "| SRMD retrained | — | — not run | — not run | — not run | — |",
  ):
    assert line in text
  # At σ² = 1e-3: 0.95 over 0.50, and 0.808 over 0.62.
  [line] = [x for x in text.splitlines() if x.startswith("| 10⁻³ | 0.620")]
  assert "+30.3 ± 0.0 %" in line
  assert line.endswith("| 0.500 ± 0.000 | 0.950 ± 0.000 | +90.0 ± 0.0 % |")


def test_a_gain_is_credited_where_it_exceeds_the_controls(report):
  text = (report / "report.md").read_text()
  part = text.partition("### FSRCNN at x4")[2].partition("###")[0]
  [line] = [x for x in part.splitlines() if x.startswith("| 10⁻⁴ |")]
  cells = [cell.strip() for cell in line.strip("|").split("|")]
  assert cells[1].startswith("+0.0320")
  assert cells[2].startswith("+0.0280")
  assert cells[3] == "✓ yes"
  # The control was not run at x2, so nothing is credited.
  part = text.partition("### FSRCNN at x2")[2].partition("###")[0]
  assert "✓ yes" not in part
  assert "— not run" in part


def test_a_gain_below_the_controls_is_not_credited(tmp_path):
  values = {"fsrcnn": 0.7, "sr_continued_fsrcnn": 0.82, "sr2_fsrcnn": 0.8}
  for method, value in values.items():
    paper_world.write_run(
      tmp_path / method, method, paper_world.constant(value)
    )
  _write(tmp_path, tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  part = text.partition("### FSRCNN at x4")[2].partition("###")[0]
  assert part.count("✗ no") == 16
  assert "✓" not in part


def test_every_claim_is_quoted_with_its_verdict(report):
  text = (report / "report.md").read_text()
  assert "Of 26 claims hold: **25**; do not hold: **0**" in text
  assert "not run in full: **1**" in text
  table = text.partition("| The paper says")[2].partition("\n\n")[0]
  verdicts = [line.split(" | ")[-1] for line in table.splitlines()[2:]]
  assert sum("✓ holds" in verdict for verdict in verdicts) == 25
  # The abstract's numbers say where they hold.
  assert any("holds at σ² = 10⁻³" in verdict for verdict in verdicts)


def test_the_page_says_what_it_is_made_of(report):
  text = (report / "report.md").read_text()
  assert COMMAND in text
  assert "Tested here: 25 of 26 claims" in text
  [line] = [x for x in text.splitlines() if x.startswith("| mnist_wdsr_x4")]
  for part in (
    "| 0, 1, 2 | 7 + 5 | 12 |",
    "0123456789 with changes",
    "1 × cpu, 2 cores",
    "finished",
  ):
    assert part in line
  missing = text.partition("Missing, and shown as not run above:")[2]
  assert "- SRMD retrained, mnist, x2" in missing


def test_where_definitions_of_ssim_disagree_the_page_says_so(tmp_path):
  values = {"ssim": 0.7, "ssim_uniform7": 0.7, "ssim_uniform7_range2": 0.9}
  paper_world.write_run(
    tmp_path / "sr2",
    "sr2_fsrcnn",
    lambda metric, level, seed, _: values.get(metric, 0.9) + 1e-4 * seed,
  )
  paper_world.write_run(tmp_path / "srmd", "srmd", lambda *_: 0.8)
  _write(tmp_path, tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  [line] = [x for x in text.splitlines() if "outperforms SRMD, although" in x]
  assert line.endswith(
    "✓ holds<br>by `ssim_uniform7`: does not hold<br>by `ssim`: does not hold |"
  )


def test_rows_alone_make_a_page(tmp_path):
  rows = result_rows.run()
  changed = [
    {**json.loads(rows_lib.dump(vars(row))), "dataset": "mnist"} for row in rows
  ]
  rows_lib.merge(
    tmp_path / "rows.jsonl", [rows_lib.Row(**fields) for fields in changed]
  )
  _write(tmp_path / "rows.jsonl", tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  assert "rows.jsonl (rows alone)" in text
  assert "**Epochs unknown**" in text
  assert "no scores of single images" in text
  assert "Not run, or without example images." in text
  _tree(tmp_path / "out" / "report.html")


def test_a_stand_in_is_named_first(tmp_path):
  paper_world.write_run(
    tmp_path / "run", "wdsr", paper_world.constant(0.7), dataset="mnist5k"
  )
  known = measurements_lib.read(
    tmp_path, split="test", stand_ins={"mnist": "mnist5k"}
  )
  page_lib.write(known, tmp_path / "out", command=COMMAND)
  text = (tmp_path / "out" / "report.md").read_text()
  head = text.partition("## Claims")[0]
  assert "trained differently" not in head
  assert "runs on mnist5k stand in its place" in head
  assert "| WDSR | 0.768 | 0.700 ± 0.002 |" in text


def test_nothing_of_the_paper_is_a_page_as_well(tmp_path):
  rows_lib.merge(tmp_path / "rows.jsonl", [result_rows.row(scale=3)])
  _write(tmp_path / "rows.jsonl", tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  assert "not run in full: **26**" in text
  assert not list((tmp_path / "out").glob("*.png"))


def test_the_abstracts_means_are_over_the_seeds_that_both_have(tmp_path):
  """Else the gain would not be that of the numbers beside it."""
  score = paper_world.constant(0.6, seed_spread=0.1, image_spread=0)
  paper_world.write_run(tmp_path / "a", "sr2_fsrcnn", score)
  paper_world.write_run(tmp_path / "b", "sequential_fsrcnn", score, seeds=(1,))
  _write(tmp_path, tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  part = text.partition("## The abstract")[2].partition("\n## ")[0]
  assert "the seeds that both have (here 1)" in part
  assert part.count("| 0.600 | 0.600 | +0.0 %") == 16


def test_corruptions_have_a_row_each(tmp_path):
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
  assert part.count("| JPEG, quality 1 | 0.701 ± 0.002 | 0.901 ± 0.002 |") == 2
  assert part.count("| Speckle") == 4
  [line] = [x for x in text.splitlines() if "report better generaliz" in x]
  assert line.endswith("✓ holds |")


def test_corruptions_of_svhn_have_tables_by_shared_layers(tmp_path):
  rows = [
    result_rows.row(
      "sr2_wdsr",
      dataset="svhn_cropped",
      shared_layers=shared_layers,
      metric="accuracy",
      corruption="jpeg",
      corruption_level=30.0,
      value=0.1 * shared_layers,
    )
    for shared_layers in (1, 4)
  ]
  rows_lib.merge(tmp_path / "rows.jsonl", rows)
  _write(tmp_path / "rows.jsonl", tmp_path / "out")
  text = (tmp_path / "out" / "report.md").read_text()
  part = text.partition("## Beyond")[2].partition("\n## ")[0]
  assert "Not run on mnist at x4." in part
  table = part.partition("### Accuracy, SVHN, x4")[2]
  assert "| JPEG, quality 30 | 0.100 | 0.400 |" in table
  assert "Not run: Speckle" in table


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium on the path")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_scrolling_sideways(
  report, tmp_path, width
):
  # A browser's window has a least width, so a frame stands for the screen.
  (tmp_path / "report.html").write_bytes((report / "report.html").read_bytes())
  (tmp_path / "frame.html").write_text(_FRAME.replace("WIDTH", str(width)))
  assert BROWSER is not None
  done = subprocess.run(
    [
      BROWSER, "--headless", "--no-sandbox", "--disable-gpu",
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

"""Renders docs/reproduction.md and the report beside it; no JAX.

  python -m sr2_jax.report.reproduction [--add FOLDER]

The prose of the page is written by hand. What is between `<!-- rendered:
NAME -->` and `<!-- end -->` comes from the rows in results/, and is written
again by this command: after new rows, no number is typed by hand. --add first
takes the rows and pretrained weights of finished runs into results/.
"""

import pathlib
import re
import sys
from collections.abc import Callable, Sequence

from sr2_jax import errors, files, paths, program
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import reading
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import page as page_lib
from sr2_jax.report.reproduction import collect, details, runs, summary
from sr2_jax.report.reproduction import numbers as numbers_lib

PAGE = "docs/reproduction.md"
REPORT = "docs/reproduction"
RESULTS = "results"
_COMMAND = f"python -m sr2_jax.report {RESULTS} --out report"
_BLOCK = re.compile(r"(<!-- rendered: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

BLOCKS: dict[str, Callable[[numbers_lib.Numbers], list[blocks_lib.Block]]] = {
  "result": summary.result,
  "summary": summary.summary,
  "programme": runs.programme,
  "runs": runs.runs,
  "table1": details.table1,
  "lambda": details.loss_weights,
  "epochs": details.epochs,
  "mnist_x4": lambda numbers: details.levels(numbers, "mnist", 4),
  "mnist_x2": lambda numbers: details.levels(numbers, "mnist", 2),
  "svhn_x4": lambda numbers: details.levels(numbers, "svhn_cropped", 4),
  "svhn_x2": lambda numbers: details.levels(numbers, "svhn_cropped", 2),
  "why": details.why,
}


def render(text: str, results: pathlib.Path) -> str:
  """The page with its blocks rendered from a folder of rows.

  Raises:
    UserError: if the page names a block that does not exist, or the rows
      cannot be read.
  """
  for _, name, _ in _BLOCK.findall(text):
    if name not in BLOCKS:
      raise errors.UserError(
        f"{PAGE}: no block {name!r}; there are {', '.join(BLOCKS)}."
      )
  numbers = numbers_lib.read(results)

  def of_block(match: re.Match[str]) -> str:
    start, name, end = match.groups()
    return f"{start}\n{blocks_lib.markdown(BLOCKS[name](numbers))}\n{end}"

  return _BLOCK.sub(of_block, text)


def prose(text: str) -> str:
  """The page without its rendered blocks: what is written by hand."""
  return _BLOCK.sub("", text)


def report(
  results: pathlib.Path,
) -> tuple[str, list[blocks_lib.Picture]]:
  """The report of a folder of rows as Markdown, and its pictures."""
  found = reading.read(results)
  measurements = measurements_lib.of_the_paper(found, split="test")
  blocks, _ = page_lib.compose(measurements, command=_COMMAND)
  pictures = [
    picture
    for block in blocks
    if isinstance(block, blocks_lib.Figure)
    for picture in block.pictures
  ]
  return blocks_lib.markdown(blocks), pictures


@program.entry()
def main(arguments: Sequence[str] | None = None) -> int:
  """Renders the page, and the report with its pictures; returns 0 or 2."""
  parser = program.Parser(
    prog="python -m sr2_jax.report.reproduction",
    description=f"Renders {PAGE} and {REPORT} again, from the rows in "
    f"{RESULTS}. Run it in the repository's folder after new rows.",
  )
  parser.add_argument(
    "--add",
    metavar="FOLDER",
    help=f"a folder of run folders, such as a sweep's; first adds the rows of "
    f"those that have finished to {RESULTS}, one file an experiment, and the "
    f"weights of those that only pretrained to {RESULTS}/{collect.WEIGHTS}",
  )
  flags = parser.parse_args(arguments)
  page, results = pathlib.Path(PAGE), pathlib.Path(RESULTS)
  if flags.add is not None:
    runs_folder = pathlib.Path(paths.local(flags.add, "--add"))
    for path in collect.collect(runs_folder, results):
      print(path)
  text = render(page.read_text(encoding="utf-8"), results)
  of_report, pictures = report(results)
  files.write_atomically(page, text.encode())
  folder = pathlib.Path(REPORT)
  files.write_atomically(folder / "report.md", of_report.encode())
  for picture in pictures:
    files.write_atomically(folder / f"{picture.stem}.png", picture.png)
  print(f"{PAGE}\n{REPORT}/report.md and {len(pictures)} pictures")
  return 0


if __name__ == "__main__":
  sys.exit(main())

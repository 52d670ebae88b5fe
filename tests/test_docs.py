"""The README and the pages of docs/: links, commands, fields and files."""

import argparse
import importlib.util
import itertools
import json
import pathlib
import re
import shlex

import pytest

from launch import bucket, sweep, tables
from sr2_jax import main, names, predict
from sr2_jax.config import accepted, fields
from sr2_jax.demo import command_line as demo_command_line
from sr2_jax.export import __main__ as export
from sr2_jax.training import check
from tests import exports, long_life, processes

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = {
  str(path.relative_to(ROOT)): path
  for path in (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
  )
}
# What a fresh clone can run: these two stay the first that one can copy.
SET_UP = (
  "pip install -r requirements.txt && "
  "python -m sr2_jax.main --config=experiments/quickstart.py",
  "pip install -r requirements-dev.txt && python -m pytest",
)
# Every field, and every group of fields.
_FIELDS = {
  ".".join(words[:length])
  for words in (name.split(".") for name in fields.CHECKS)
  for length in range(1, len(words) + 1)
}
_GROUPS = sorted({name.partition(".")[0] for name in fields.CHECKS})


def _blocks(text):
  """The fenced blocks of a page, without what only Python reads."""
  found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
  return [block for language, block in found if language != "python"]


def _commands(text):
  """Every `python -m` command of a page: its module and its arguments."""
  variables = {}
  for block in _blocks(text):
    for line in block.replace("\\\n", " ").splitlines():
      assignment = re.fullmatch(r'(\w+)="(.*)"', line)
      if assignment:
        variables[assignment[1]] = assignment[2]
        continue
      line = re.sub(r"\$(\w+)", lambda name: variables[name[1]], line)
      words = shlex.split(line, comments=True)
      for _, group in itertools.groupby(words, lambda word: word == "&&"):
        command = list(group)
        while command and re.fullmatch(r"[A-Z_]+=\S+", command[0]):
          del command[0]
        if command[:2] == ["python", "-m"]:
          yield command[2], command[3:]


COMMANDS = [
  pytest.param(module, arguments, id=f"{name}-{number}-{module}")
  for name, path in PAGES.items()
  for number, (module, arguments) in enumerate(_commands(path.read_text()))
]


class _ParsedError(Exception):
  """A command line was understood; nothing of it is run."""


@pytest.fixture
def fresh_clone(monkeypatch, tmp_path):
  """A folder with the project's experiments and nothing else."""
  (tmp_path / "experiments").symlink_to(ROOT / "experiments")
  (tmp_path / "photos").mkdir()
  for name in ("plates", "faces"):
    (tmp_path / "data" / name).mkdir(parents=True)
  monkeypatch.chdir(tmp_path)


def _main_parses(arguments, monkeypatch):
  started = []
  monkeypatch.setattr(main, "run", started.append)
  assert main.main(["main", *arguments]) == 0
  assert started


def _predict_parses(arguments, monkeypatch):
  started = []
  monkeypatch.setattr(predict, "run", lambda command: started.append(1) or 0)
  assert predict.main(["predict", *arguments]) == 0
  assert started


def _export_parses(arguments, monkeypatch):
  started = []
  monkeypatch.setattr(export, "run", started.append)
  assert export.main(arguments) == 0
  assert started


def _sweep_parses(arguments, monkeypatch):
  # A placeholder for any field, and any change that one may make to it.
  arguments = [
    "eval.clip=true" if word == "FIELD=VALUE" else word for word in arguments
  ]
  monkeypatch.setattr(tables, "listing", lambda jobs, speeds: "")
  monkeypatch.setattr(bucket, "bring", lambda url, **_: bucket.local(url))
  monkeypatch.setattr(bucket, "owners", lambda url, names: {})
  # These start nothing either.
  starts = not any(
    word.startswith(("--status", "--emit")) for word in arguments
  )
  assert sweep.main(["sweep", *arguments, *["--dry-run"] * starts]) == 0


def _argparse_parses(module, arguments, monkeypatch):
  """For a module whose flags are argparse's: runs it until it has read them."""
  parse = argparse.ArgumentParser.parse_args

  def parse_only(self, given=None, namespace=None):
    parse(self, given, namespace)
    raise _ParsedError

  monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
  with pytest.raises(_ParsedError):
    importlib.import_module(module).main(arguments)


def _dry_runs(text):
  """Arguments of dry runs of a page, and the lines that follow them."""
  for block in _blocks(text):
    command, *lines = block.splitlines()
    if "--dry-run" in command and lines and lines[0].startswith("Each run"):
      yield shlex.split(command)[3:], lines


@pytest.mark.usefixtures("fresh_clone")
@pytest.mark.parametrize(
  ("arguments", "lines"), [*_dry_runs(PAGES["docs/clusters.md"].read_text())]
)
def test_the_planner_says_what_the_page_shows(arguments, lines, capsys):
  assert sweep.main(["sweep", *arguments]) == 0
  assert capsys.readouterr().out.splitlines()[-len(lines) :] == lines


@pytest.mark.usefixtures("fresh_clone")
@pytest.mark.parametrize(("module", "arguments"), COMMANDS)
def test_commands_are_understood(module, arguments, monkeypatch):
  match module:
    case "sr2_jax.main":
      _main_parses(arguments, monkeypatch)
    case "sr2_jax.predict":
      _predict_parses(arguments, monkeypatch)
    case "sr2_jax.export":
      _export_parses(arguments, monkeypatch)
    case "launch.sweep":
      _sweep_parses(arguments, monkeypatch)
    case "sr2_jax.demo":
      assert demo_command_line.parse(arguments).weights
    case "sr2_jax.report" | "sr2_jax.report.reproduction" | "sr2_jax.release":
      _argparse_parses(f"{module}.__main__", arguments, monkeypatch)
    case (
      "benchmarks.run"
      | "benchmarks.table"
      | "benchmarks.prediction"
      | "benchmarks.large"
      | "benchmarks.footprint"
      | "benchmarks.rounding"
      | "benchmarks.convolutions"
    ):
      _argparse_parses(module, arguments, monkeypatch)
    case "sr2_jax.data.check":
      check.parse(arguments)
    case "benchmarks.accelerators" | "benchmarks.gpu" | "tests.fuzz":
      _argparse_parses(f"{module}.__main__", arguments, monkeypatch)
    case "experiments.plates" | "experiments.faces":
      _argparse_parses(module, arguments, monkeypatch)
    case "tests.faults":
      _argparse_parses(module, arguments, monkeypatch)
    case "tests.processes":
      for name in arguments:
        assert any(case.startswith(name) for case in processes.CASES)
    case "tests.long_life":
      long_life.parse(arguments)
    case "tests.demo_speed":
      assert not arguments
    case "tests.exports":
      assert set(arguments) <= exports.NETWORKS.keys()
    case "pytest":
      assert all((ROOT / name).is_file() for name in arguments)
    case "venv":
      pass
    case _:
      pytest.fail(f"python -m {module} is not a command of this project")


def test_commands_are_found():
  # Guards the test above against an empty list.
  modules = {parameter.values[0] for parameter in COMMANDS}
  assert {"sr2_jax.main", "launch.sweep", "sr2_jax.report"} <= modules
  assert len(COMMANDS) > 30


def test_the_set_up_commands_come_first():
  assert _blocks(README.read_text())[0].splitlines() == [*SET_UP]


def test_the_readme_stays_short():
  assert len(README.read_text().splitlines()) <= 170


def _anchors(page):
  """The anchors of a page's headings, by the rule of code host and site."""
  for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE):
    text = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
    yield re.sub(r"\s", "-", text)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
  page = PAGES[name]
  for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
    if target.startswith("https://"):
      continue
    file, _, anchor = target.partition("#")
    linked = (page.parent / file).resolve() if file else page
    assert linked.is_file(), target
    # The site has only what is in docs/.
    if page.is_relative_to(ROOT / "docs"):
      assert linked.is_relative_to(ROOT / "docs"), target
    if anchor:
      assert anchor in _anchors(linked), target


TOUR = json.loads((ROOT / "docs" / "tour.ipynb").read_text())["cells"]


def test_the_tour_has_no_outputs():
  """The site's build executes it, and ends if a cell fails."""
  for cell in TOUR:
    assert not cell.get("outputs")
    assert cell.get("execution_count") is None


def test_what_the_tour_imports_exists():
  text = "".join(
    "".join(cell["source"]) + "\n"
    for cell in TOUR
    if cell["cell_type"] == "code"
  )
  imported = re.findall(r"^from (sr2_jax[\w.]*) import (\w+)$", text, re.M)
  assert imported
  for package, module in imported:
    assert importlib.util.find_spec(f"{package}.{module}"), module


@pytest.mark.parametrize("name", PAGES)
def test_fields_exist(name):
  text = PAGES[name].read_text()
  named = re.findall(r"--config\.([a-z_0-9.]*[a-z_0-9])", text)
  named += re.findall(r"--set ([a-z][\w.]*)=", text)
  named += [
    word
    for word in re.findall(rf"`((?:{'|'.join(_GROUPS)})\.[\w.]+)[`=]", text)
    if not word.endswith((".py", ".safetensors"))
  ]
  for field in named:
    assert field in _FIELDS, field


@pytest.mark.parametrize("name", PAGES)
def test_files_exist(name):
  folders = "sr2_jax|experiments|launch|tests|benchmarks|results|docs"
  text = PAGES[name].read_text()
  for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", text):
    assert (ROOT / path).exists(), path


def test_the_example_of_a_corruption_is_accepted():
  page = (ROOT / "docs" / "extending.md").read_text()
  [line] = re.findall(r"^(Corruption\(.*\)),$", page, re.MULTILINE)
  corruption = eval(line, {"Corruption": names.Corruption})
  assert corruption.title == "Dead pixels, fraction"
  check = accepted.levels(corruption)
  assert check.accepts((0.1, 0.3))
  assert not check.accepts((2.0,))

"""The table of faults: what a run survives, and which test has seen it.

  python -m tests.faults [SECTION ...]

Plays the tests that faults.toml names, those of all sections or of these. Then
docs/faults.md and the README say what came out. A section is named by the
beginning of its title; `--list` lists them. All together take an hour on two
cores. Tests that need Ray are skipped without it.

faults.json keeps the outcome of every test. `python -m pytest
--faults=tests/faults.json` adds those of any other tests that run. `--render`
writes the page from it and plays nothing. long_life.json is shown at its end.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tomllib

from tests import circumstances, long_life

TESTS = pathlib.Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"
README = TESTS.parent / "README.md"
OUTCOMES = TESTS / "faults.json"
START, END = "<!-- rendered -->\n", "<!-- end -->\n"
# What a test has done, the worst first.
SEVERITY = ("failed", "not played", "passed")


@dataclasses.dataclass(frozen=True)
class Fault:
  """A fault, and what is known of it.

  Attributes:
    case: what goes wrong.
    then: what happens.
    tests: "FILE::NAME" below tests/; all of them play it. A file that does not
      begin with test_ is a command, and the name its argument.
  """

  case: str
  then: str
  tests: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Section:
  """Faults of one kind; of controls it is seen that they do harm."""

  title: str
  text: str
  faults: tuple[Fault, ...]
  are_controls: bool = False


def read():
  """The sections of faults.toml."""
  found = tomllib.loads((TESTS / "faults.toml").read_text())
  return [
    Section(
      section["title"],
      section.get("text", ""),
      tuple(
        Fault(fault["case"], fault["then"], tuple(fault["tests"]))
        for fault in section["fault"]
      ),
      section.get("are_controls", False),
    )
    for section in found["section"]
  ]


def named(sections):
  """The tests of sections, each once, in their order."""
  return list(
    dict.fromkeys(
      test
      for section in sections
      for fault in section.faults
      for test in fault.tests
    )
  )


def is_command(test):
  return not pathlib.PurePath(test.split("::")[0]).name.startswith("test_")


class Recorder:
  """A plugin of pytest that keeps the outcomes of the tests in the table.

  Args:
    path: of a file like faults.json; other outcomes in it stay.
    tests: those in the table.
  """

  def __init__(self, path, tests):
    self._path = path
    self._tests = frozenset(tests)
    self._found = collections.defaultdict(set)

  def pytest_runtest_logreport(self, report):
    test = report.nodeid.removeprefix("tests/").partition("[")[0]
    if test in self._tests and (
      report.when == "call" or report.outcome != "passed"
    ):
      self._found[test].add(report.outcome)

  def pytest_sessionfinish(self):
    # With parameters, it has passed if all that could be played have.
    keep(
      self._path,
      {
        test: "failed" if "failed" in found
        else "passed" if "passed" in found
        else "not played"
        for test, found in self._found.items()
      },
    )  # fmt: skip


def pytest_addoption(parser):
  parser.addoption(
    "--faults", metavar="FILE", type=pathlib.Path,
    help="keep the outcomes of the tests in docs/faults.md in this file, such "
    "as tests/faults.json; `python -m tests.faults --render` shows them",
  )  # fmt: skip


def pytest_configure(config):
  path = config.getoption("--faults")
  is_worker = hasattr(config, "workerinput")
  if path and not is_worker:
    config.pluginmanager.register(Recorder(path, named(read())))


def keep(path, found):
  """Adds outcomes of today, by test, to a file like faults.json."""
  known = recorded(path)
  for test, outcome in found.items():
    known[test] = {"outcome": outcome} | circumstances.now()
  text = json.dumps(dict(sorted(known.items())), indent=2)
  path.write_text(text + "\n")


def play(tests):
  """Plays tests of the table and keeps their outcomes."""
  functions = [f"tests/{test}" for test in tests if not is_command(test)]
  if functions:
    # One at a time: emulated clusters want the cores for themselves.
    command = ("pytest", "-n", "0", f"--faults={OUTCOMES}", *functions)
    subprocess.run(
      [sys.executable, "-m", *command], cwd=TESTS.parent, check=False
    )
  for test in filter(is_command, tests):
    file, name = test.split("::")
    module = f"tests.{file.removesuffix('.py')}"
    done = subprocess.run([sys.executable, "-m", module, name], check=False)
    keep(OUTCOMES, {test: "failed" if done.returncode else "passed"})


def outcome_of(fault, outcomes):
  """The worst of a fault's tests; "not played" if there is no outcome."""
  found = [outcomes.get(test, {}).get("outcome") for test in fault.tests]
  return next(
    (x for x in SEVERITY if x in found and None not in found), "not played"
  )


def count(sections, outcomes):
  """How many faults have been survived, and how many there are."""
  faults = [
    fault
    for section in sections
    if not section.are_controls
    for fault in section.faults
  ]
  survived = [
    fault for fault in faults if outcome_of(fault, outcomes) == "passed"
  ]
  return len(survived), len(faults)


def render(sections, outcomes, lived):
  """The rendered part of the page; `lived` has results of tests.long_life."""
  survived, of_all = count(sections, outcomes)
  known = [outcomes[test] for test in named(sections) if test in outcomes]
  days = sorted({x["date"] for x in known})
  systems = sorted({x["system"] for x in known})
  lines = [
    f"**{survived} of {of_all} survived.** Played"
    f" {' to '.join(dict.fromkeys([*days[:1], *days[-1:]]))}"
    f" with {'; '.join(systems)}.",
    "",
  ]
  for section in sections:
    lines += [f"## {section.title}", ""]
    if section.text:
      lines += [section.text.strip(), ""]
    column = "seen" if section.are_controls else "survived"
    lines += [
      f"| fault | what happens | {column} | tested by |",
      "|---|---|---|---|",
    ]
    for fault in section.faults:
      outcome = outcome_of(fault, outcomes)
      mark = {"passed": "yes", "failed": "**no**"}.get(outcome, outcome)
      tests = ", ".join(f"`{test}`" for test in fault.tests)
      case, then = (x.replace("|", r"\|") for x in (fault.case, fault.then))
      lines.append(f"| {case} | {then} | {mark} | {tests} |")
    lines.append("")
  if lived:
    lines += ["## A long life", "", long_life.table(lived), ""]
  return "\n".join(lines)


def page(sections, outcomes, lived):
  """The whole page, with its rendered part written again."""
  before, _, rest = PAGE.read_text().partition(START)
  _, _, after = rest.partition(END)
  return f"{before}{START}\n{render(sections, outcomes, lived)}\n{END}{after}"


def readme(sections, outcomes):
  """The README with its count written again."""
  survived, of_all = count(sections, outcomes)
  return re.sub(
    r"\d+ of \d+ (?=\[faults\])", f"{survived} of {of_all} ",
    README.read_text(),
  )  # fmt: skip


def recorded(path=OUTCOMES):
  """What has come out, by test: outcome, date and system."""
  return json.loads(path.read_text()) if path.exists() else {}


def main(arguments=None):
  parser = argparse.ArgumentParser(
    prog="python -m tests.faults",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("section", nargs="*", help="the beginning of a title")
  parser.add_argument("--list", action="store_true", help="list the sections")
  parser.add_argument("--render", action="store_true", help="play nothing")
  flags = parser.parse_args(arguments)
  sections = read()
  if flags.list:
    print(*(f"{len(x.faults):3} {x.title}" for x in sections), sep="\n")
    return 0
  beginnings = tuple(flags.section) or ("",)
  chosen = [x for x in sections if x.title.startswith(beginnings)]
  if not chosen:
    parser.error("no such section; see --list")
  if not flags.render:
    play(named(chosen))
  outcomes = recorded()
  PAGE.write_text(page(sections, outcomes, long_life.recorded()))
  README.write_text(readme(sections, outcomes))
  survived, of_all = count(sections, outcomes)
  print(f"{survived} of {of_all} survived; see {PAGE}")
  return 0 if survived == of_all else 1


if __name__ == "__main__":
  sys.exit(main())

"""Brings other pages into the site: the README, a demo, an executed tour."""

import functools
import importlib.util
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import nbclient
import nbconvert
import nbformat
from mkdocs import exceptions
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_PAGES = {
  "README.md": "index.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changelog.md",
  "SECURITY.md": "security.md",
}
# Released weights; the demo has the first of them that there are.
_NETWORKS = ("sr2_fsrcnn_x4_mnist", "fsrcnn_x4_mnist")
_DEMO = "try_a_network.html"
_NOTEBOOK, _TOUR = "tour.ipynb", "tour.md"
_SECONDS_A_CELL = 900  # On a busy machine.

_log = logging.getLogger("mkdocs.hooks.sr2_jax")


def on_files(files: Files, config: MkDocsConfig) -> Files:
  """Adds these pages; links lead to pages of the site instead of files."""
  root = pathlib.Path(config.docs_dir).parent
  for name, page in _PAGES.items():
    text = (root / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    for source, target in _PAGES.items():
      text = text.replace(f"]({source}", f"]({target}")
    files.append(File.generated(config, page, content=text))
  text, pictures = _tour((root / "docs" / _NOTEBOOK).read_text("utf-8"), root)
  files.append(File.generated(config, _TOUR, content=text))
  for name, data in pictures.items():
    files.append(File.generated(config, name, content=data))
  demo = _demo(root)
  if demo is not None:
    files.append(File.generated(config, _DEMO, content=demo))
  return files


def on_page_markdown(
  markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
  """Links to the demo and the tour, and from the tour to its notebook."""
  if page.file.src_uri == _TOUR:
    return _below_the_title(markdown, f"[As a notebook]({_NOTEBOOK}).")
  demo = files.get_file_from_path(_DEMO)
  if page.file.src_uri == "demo.md" and demo is not None:
    megabytes = f"{len(demo.content_string) / 1e6:.1f} MB"
    return _below_the_title(
      markdown, f"**[Try it here]({_DEMO})** ({megabytes})."
    )
  return markdown.replace(f"]({_NOTEBOOK})", f"]({_TOUR})")


def _below_the_title(markdown: str, line: str) -> str:
  title, _, rest = markdown.lstrip().partition("\n")
  return f"{title}\n\n{line}\n{rest}"


@functools.cache
def _tour(text: str, root: pathlib.Path) -> tuple[str, dict[str, bytes]]:
  """The page of a notebook and its pictures; it is executed if JAX is there.

  Raises:
    PluginError: if a cell of it fails, which ends the build.
  """
  notebook = nbformat.reads(text, as_version=4)
  if importlib.util.find_spec("jax") is None:
    _log.info("the tour has no outputs: they take what sr2_jax requires")
  else:
    client = nbclient.NotebookClient(
      notebook,
      timeout=_SECONDS_A_CELL,
      startup_timeout=_SECONDS_A_CELL,
      kernel_name="python3",
      resources={"metadata": {"path": str(root / "docs")}},
    )
    try:
      client.execute(env={**os.environ, "PYTHONPATH": _with(root)})
    except nbclient.exceptions.CellExecutionError as error:
      raise exceptions.PluginError(f"{_NOTEBOOK}: {error}") from error
  for cell in notebook.cells:
    # What libraries say of the machine is not about the tour.
    cell["outputs"] = [
      output
      for output in cell.get("outputs", [])
      if output.get("name") != "stderr"
    ]
  page, resources = nbconvert.MarkdownExporter().from_notebook_node(
    notebook, resources={"output_files_dir": "tour_files"}
  )
  # Tables look as those of the site.
  page = re.sub(r"<style scoped>.*?</style>\n?", "", page, flags=re.DOTALL)
  page = page.replace('<table border="1" class="dataframe">', "<table>")
  page = page.replace("![png](", "![What this cell draws](")
  return page, resources["outputs"]


def _with(root: pathlib.Path) -> str:
  """Where a kernel finds sr2_jax, which need not be installed."""
  given = os.environ.get("PYTHONPATH")
  return os.pathsep.join(filter(None, [str(root), given]))


@functools.cache
def _demo(root: pathlib.Path) -> str | None:
  """The demo's page, which takes some seconds; None if it cannot be made."""
  if importlib.util.find_spec("jax") is None:
    _log.info("no demo in the site: that takes what sr2_jax requires")
    return None
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / _DEMO
    for network in _NETWORKS:
      done = subprocess.run(
        [
          *(sys.executable, "-m", "sr2_jax.demo"),
          *(f"--weights={network}", f"--out={out}"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
      )
      if done.returncode == 0:
        return out.read_text(encoding="utf-8")
      _log.info(done.stderr)
  _log.info("no demo in the site: there are no released weights")
  return None

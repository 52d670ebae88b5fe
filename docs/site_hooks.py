"""Brings the README and other pages into the site, and a demo of a network."""

import functools
import importlib.util
import logging
import pathlib
import re
import subprocess
import sys
import tempfile

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_PAGES = {
  "README.md": "index.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changelog.md",
}
# Released weights; the demo has the first of them that there are.
_NETWORKS = ("sr2_fsrcnn_x4_mnist", "fsrcnn_x4_mnist")
_DEMO = "try_a_network.html"

_log = logging.getLogger("mkdocs.hooks.demo")


def on_files(files: Files, config: MkDocsConfig) -> Files:
  """Adds these pages; links lead to pages of the site instead of files."""
  root = pathlib.Path(config.docs_dir).parent
  for name, page in _PAGES.items():
    text = (root / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    for source, target in _PAGES.items():
      text = text.replace(f"]({source}", f"]({target}")
    files.append(File.generated(config, page, content=text))
  demo = _demo(root)
  if demo is not None:
    files.append(File.generated(config, _DEMO, content=demo))
  return files


def on_page_markdown(
  markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
  """Links to the demo below the title of its page."""
  demo = files.get_file_from_path(_DEMO)
  if page.file.src_uri != "demo.md" or demo is None:
    return markdown
  title, _, rest = markdown.partition("\n")
  megabytes = f"{len(demo.content_string) / 1e6:.1f} MB"
  return f"{title}\n\n**[Try it here]({_DEMO})** ({megabytes}).\n{rest}"


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

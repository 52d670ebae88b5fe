"""Brings the README and the other pages at the top level into the site."""

import pathlib
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PAGES = {
  "README.md": "index.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changelog.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
  """Adds these pages; links lead to pages of the site instead of files."""
  root = pathlib.Path(config.docs_dir).parent
  for name, page in _PAGES.items():
    text = (root / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    for source, target in _PAGES.items():
      text = text.replace(f"]({source}", f"]({target}")
    files.append(File.generated(config, page, content=text))
  return files

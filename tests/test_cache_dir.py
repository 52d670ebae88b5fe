"""The cache folder follows the environment."""

from pathlib import Path

import pytest

from sr2_jax import cache_dir


@pytest.mark.parametrize(
  ("variables", "expected"),
  [
    ({"SR2_JAX_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a/data"),
    ({"SR2_JAX_CACHE_DIR": "", "XDG_CACHE_HOME": "/b"}, "/b/sr2_jax/data"),
    ({"XDG_CACHE_HOME": ""}, "/home/user/.cache/sr2_jax/data"),
    ({}, "/home/user/.cache/sr2_jax/data"),
    ({"SR2_JAX_CACHE_DIR": "~/mine"}, "/home/user/mine/data"),
  ],
)
def test_environment_decides(monkeypatch, variables, expected):
  monkeypatch.delenv("SR2_JAX_CACHE_DIR", raising=False)
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
  monkeypatch.setenv("HOME", "/home/user")
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  assert cache_dir.folder("data") == Path(expected)

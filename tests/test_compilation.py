import jax
import pytest

from sr2_jax import compilation

FOLDER = "jax_compilation_cache_dir"
SECONDS = "jax_persistent_cache_min_compile_time_secs"


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
  """A cache of the test's own, and JAX's settings as they were."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))
  before = {name: getattr(jax.config, name) for name in (FOLDER, SECONDS)}
  yield
  for name, value in before.items():
    jax.config.update(name, value)


def test_programs_are_kept_in_the_cache_folder(tmp_path):
  jax.config.update(FOLDER, None)
  compilation.use_cache()
  assert getattr(jax.config, FOLDER) == str(tmp_path / "cache/xla")
  assert getattr(jax.config, SECONDS) == 0


def test_the_folder_of_the_user_stays(tmp_path):
  jax.config.update(FOLDER, str(tmp_path / "mine"))
  jax.config.update(SECONDS, 7.0)
  compilation.use_cache()
  assert getattr(jax.config, FOLDER) == str(tmp_path / "mine")
  assert getattr(jax.config, SECONDS) == 7

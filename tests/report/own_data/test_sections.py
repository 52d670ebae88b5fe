import io

import numpy as np
import pytest
from PIL import Image

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.own_data import sections
from sr2_jax.report.paper import measurements as measurements_lib
from tests import paper_world
from tests.report.own_data import worlds


@pytest.fixture(scope="module")
def measurements(tmp_path_factory):
  folder = worlds.write(tmp_path_factory.mktemp("own"))
  paper_world.write_run(
    folder / "digits", "wdsr", paper_world.constant(0.7), levels=(0.0,)
  )
  return measurements_lib.read(folder, split="test")


def test_the_papers_data_sets_have_no_section_here(measurements):
  assert sections.settings(measurements) == [("plates", 4)]
  assert not sections.is_all(measurements)


def test_a_section_shows_every_method_and_level(measurements):
  text = blocks_lib.markdown(sections.sections(measurements))
  assert text.startswith("## plates, x4\n\n**Classification helps")
  assert "12 images and 3 seeds" in text
  for line in (
    "| SSIM | σ² = 0 | σ² = 10⁻³ |",
    "| Bicubic | 0.300 | 0.299 |",
    "| FSRCNN control | 0.600 ± 0.248 | 0.599 ± 0.248 |",
    "| σ² = 0 | +0.0200 ± 0.0025 | +0.0200 ± 0.0025 |",
  ):
    assert line in text
  assert "WDSR" not in text


def test_the_pictures_show_classes_by_name(measurements):
  pictures = {
    picture.stem: picture
    for block in sections.sections(measurements)
    if isinstance(block, blocks_lib.Figure)
    for picture in block.pictures
  }
  assert set(pictures) == {
    "examples_plates_x4", "curves_plates_x4", "effect_plates_x4",
  }  # fmt: skip
  examples = pictures["examples_plates_x4"]
  assert examples.alt.endswith("Bicubic, FSRCNN, FSRCNN control, SR² FSRCNN")
  with Image.open(io.BytesIO(examples.png)) as image:
    assert image.width == examples.width
    assert np.asarray(image).std() > 0


def test_without_a_control_nothing_is_said_about_classification(tmp_path):
  worlds.write(tmp_path, control=False)
  alone = measurements_lib.read(tmp_path, split="test")
  assert sections.is_all(alone)
  text = blocks_lib.markdown(sections.sections(alone))
  assert "**No control:**" in text
  assert "SR² − control" not in text
  assert "accuracy" in sections.summary(alone).lower()

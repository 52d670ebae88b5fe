"""CPU time that the demo's page takes for an image, in Chromium.

`python -m tests.demo_speed` prints it for three networks, untrained and of
MNIST's size. Other work on the machine matters less than for a clock.
"""

import base64
import json
import pathlib
import tempfile

from sr2_jax.demo import content, layer_list, page
from sr2_jax.models import sr2
from tests import browser
from tests.demo import random_network

NETWORKS = {
  "SR2_FSRCNN x4": ("fsrcnn", "parallel", 4),
  "SR2_WDSR x2": ("wdsr", "parallel", 2),
  "sequential FSRCNN x4": ("fsrcnn", "sequential", 4),
}
SIDE = 28
# V8 compiles what it has run often enough.
NUM_WARM, NUM_MEASURED = 10, 20


def milliseconds(tab, trunk, wiring, scale):
  """Of one image of the page's main thread, which does nothing else."""
  model = sr2.SR2(trunk=trunk, wiring=wiring, scale=scale, channels=1)
  arrays = layer_list.rounded(random_network.arrays_of(model))
  facts, data = page.network(layer_list.of(model, arrays))
  tab.run(f"""(() => {{
    const bytes = bytesOf("{base64.b64encode(data).decode()}");
    const image = emptyMap({SIDE // scale}, {SIDE // scale}, 1);
    image.data.fill(0.5);
    const network = networkOf({json.dumps(facts)}, bytes);
    globalThis.repeat = (count) => {{
      for (let i = 0; i < count; i++) network(image);
    }};
  }})()""")
  tab.run(f"repeat({NUM_WARM})")
  begin = _thread_seconds(tab)
  tab.run(f"repeat({NUM_MEASURED})")
  return 1000 * (_thread_seconds(tab) - begin) / NUM_MEASURED


def _thread_seconds(tab):
  found = {
    x["name"]: x["value"] for x in tab("Performance.getMetrics")["metrics"]
  }
  return found["ThreadTime"]


def main():
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # Any page has the functions; this one is made fast.
    random_network.write(folder / "run", wiring="none", scale=2)
    text, _ = content.page_of(*random_network.load(folder / "run"))
    (folder / "demo.html").write_text(text)
    with browser.opened(folder / "profile") as tab:
      tab("Performance.enable")
      tab.open(folder / "demo.html")
      tab.wait(
        "document.getElementById('check').dataset.pictures !== undefined"
      )
      print(tab("Browser.getVersion")["product"])
      for title, network in NETWORKS.items():
        print(f"{title}: {milliseconds(tab, *network):.0f} ms", flush=True)


if __name__ == "__main__":
  main()

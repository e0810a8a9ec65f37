import pytest

PHANTOM = """\
name: {name}
seed: 3
source: {{ phantom: {{ subjects: {subjects}, size: [24, 20, 18], modalities: [ct, mr], classes: 2, labelled: 3, validation: 1, test: 1 }} }}
stages: [orient: {{ to: RAS }}, zscore: {{}}]
"""
VIEWS = """\
views:
  shared: [patch: {size: [16, 12, 8], samples: 2}, flip: {axes: [x]}]
  strong: [gaussian_noise: {std: [0.1, 0.2], p: 1}]
"""
TRAIN = """\
train: { classes: [background, a, b], network: { unet3d: { width: 4, depth: 2 } }, steps: %d,
         batch: { labelled: 1 }, window: { size: [16, 12, 8] } }
score: { splits: [test] }
sinks: { predictions: { parquet: true } }
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXSTREAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def write(tmp_path):
    """Writes a pipeline file and returns its path."""

    def write(*parts, name="phantom", subjects=6):
        path = tmp_path / f"{name}.yaml"
        path.write_text(PHANTOM.format(name=name, subjects=subjects) + "".join(parts))
        return path

    return write

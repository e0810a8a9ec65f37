import numpy as np
import pyarrow as pa
import pytest
import voxstream

from conftest import TRAIN, VIEWS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from conftest import PHANTOM

    folder = tmp_path_factory.mktemp("run")
    path = folder / "trained.yaml"
    path.write_text(PHANTOM.format(name="trained", subjects=6) + VIEWS + TRAIN % 2)
    return voxstream.run(path, out=folder / "out", device="cpu", workers=2, memory="1GiB", set={"train.validate.every": 1})


def test_a_run_has_a_folder_and_tables(run):
    assert (run.folder / "report.html").exists() and run.failures == []
    scores = run.read("scores")
    assert isinstance(scores, pa.Table) and set(scores["class"].to_pylist()) == {"a", "b"}
    assert scores.schema.field("dice").metadata
    assert voxstream.read(run.folder, "scores", columns=["dice"]).column_names == ["dice"]
    means = run.query("select class, avg(dice) as dice from scores group by class order by class")
    assert means["class"].to_pylist() == ["a", "b"]
    with pytest.raises(voxstream.Error, match="fingerprint: this run did not write it; tables here: .*scores"):
        run.read("fingerprint")
    with pytest.raises(voxstream.Error, match="score: there is no such table"):
        run.read("score")
    with pytest.raises(voxstream.Error, match="DROP is not allowed; tables: .*scores"):
        run.query("drop table scores")


def test_a_volume_is_an_array_with_its_affine(run):
    predictions = run.read("predictions")
    volume = voxstream.volume(predictions.slice(0, 1), "label")
    assert volume.voxels.shape == (18, 20, 24) and volume.voxels.dtype == np.uint8
    assert volume.affine.shape == (4, 4) and volume.affine.dtype == np.float64
    assert np.allclose(volume.affine[3], [0, 0, 0, 1]) and (volume.spacing > 0).all()
    # However a row comes, its volume is the same.
    row = predictions.to_pylist()[0]
    pytest.importorskip("pandas")
    frame = predictions.to_pandas()
    of_rows = [voxstream.volume(value, "label") for value in (row, frame.iloc[0], predictions.to_batches()[0].slice(0, 1))]
    values = [predictions["label"][0], row["label"], frame["label"].iloc[0]]
    for other in of_rows + [voxstream.volume(value) for value in values]:
        assert np.array_equal(other.voxels, volume.voxels) and np.array_equal(other.affine, volume.affine)


def test_what_is_no_volume_is_refused(run):
    predictions = run.read("predictions")
    with pytest.raises(ValueError, match="there is no volume 'mask'; volumes of this row: label"):
        voxstream.volume(predictions.slice(0, 1), "mask")
    with pytest.raises(ValueError, match="pass one of them"):
        voxstream.volume(pa.concat_tables([predictions, predictions]), "label")
    with pytest.raises(voxstream.Error, match="no field `voxels`|no volume"):
        voxstream.volume({"voxels": b"", "other": 1})
    damaged = dict(predictions.to_pylist()[0]["label"], blake3="00")
    with pytest.raises(voxstream.Error, match="checksum .* expected 00"):
        voxstream.volume(damaged)


def test_a_file_with_views_alone_is_for_other_trainers(write, tmp_path):
    with pytest.raises(voxstream.Error, match="stream them into another trainer"):
        voxstream.run(write(VIEWS), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match='device="tpu"'):
        voxstream.run(write(), device="tpu")

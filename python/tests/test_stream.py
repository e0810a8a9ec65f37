import gc
import json

import numpy as np
import pyarrow as pa
import pytest
import voxstream

from conftest import TRAIN, VIEWS

ONE = "views: { shared: [patch: { size: [16, 12, 8], samples: 1 }, gaussian_noise: { p: 1 }], strong: [gamma: { p: 1 }] }\n"


def one_modality(write):
    path = write(ONE)
    path.write_text(path.read_text().replace("[ct, mr]", "[ct]"))
    return path


def test_batches_have_tensors_labels_ids_and_draws(write):
    batches = list(voxstream.stream(write(VIEWS), epochs=2, batch=4))
    # 3 labelled subjects, 2 patches of each, 2 epochs.
    assert [len(b) for b in batches] == [4, 4, 4]
    assert batches[0].views == ["weak", "strong"]
    assert batches[0].modalities == ["ct", "mr"]
    t = batches[0].to_numpy()
    assert t.image.shape == (4, 2, 8, 12, 16) and t.image.dtype == np.float32
    assert t.label.shape == (4, 1, 8, 12, 16) and t.label.dtype == np.uint8
    assert set(np.unique(t.label)) <= {0, 1, 2}
    assert t.present.shape == (4, 2) and t.present.dtype == bool
    assert len(set(t.ids)) == 2 and t.modalities == ["ct", "mr"]
    rows = batches[0].rows("strong")
    assert [r["epoch"] for r in rows] == [0, 0, 0, 0] and [r["sample"] for r in rows][:2] == [0, 1]
    stages = [d["stage"] for d in batches[0].draws("strong")[0]]
    assert "views.shared[0].patch" in stages and "views.strong[0].gaussian_noise" in stages
    assert len(rows[0]["affines"]["image.ct"]) == 16
    strong = batches[0].to_numpy("strong")
    assert np.array_equal(strong.label, t.label) and not np.array_equal(strong.image, t.image)
    with pytest.raises(KeyError, match='no view "other"; the views are .*strong'):
        batches[0].to_numpy("other")


def test_one_row_of_one_modality_is_not_copied(write):
    (batch,) = voxstream.stream(one_modality(write), limit=1)
    table = batch.to_arrow()
    assert table["view"].to_pylist() == ["weak", "strong"]

    def address(column):
        voxels = table[column].chunk(0).field("voxels")
        return voxels.buffers()[2].address

    t = batch.to_numpy()
    assert t.image.__array_interface__["data"][0] == address("image.ct")
    assert t.label.__array_interface__["data"][0] == address("label")
    torch = pytest.importorskip("torch")
    t = batch.to_torch()
    assert t.image.data_ptr() == address("image.ct") and t.image.dtype == torch.float32
    assert t.label.data_ptr() == address("label") and t.label.dtype == torch.uint8
    assert tuple(t.image.shape) == (1, 1, 8, 12, 16)


def test_tensors_outlive_their_batch_and_their_stream(write):
    stream = voxstream.stream(one_modality(write), epochs=None)
    kept = [next(stream).to_numpy().image for _ in range(12)]
    expected = [image.copy() for image in kept]
    stream.close()
    del stream
    gc.collect()
    next(voxstream.stream(one_modality(write)))
    assert all(np.array_equal(a, b) for a, b in zip(kept, expected))


def test_tensors_may_be_written_to(write):
    # Whole prepared subjects, which the library keeps for the next epoch.
    path = write(TRAIN % 1)
    sums = []
    for batch in voxstream.stream(path, split="validation", epochs=3):
        image = batch.to_numpy().image
        sums.append(float(np.abs(image).sum()))
        if image.flags.writeable:
            image[:] = 0
    assert sums[0] > 0 and sums == [sums[0]] * 3


def test_workers_and_restarts_change_no_byte(write):
    def streamed(workers, start=(0, 0)):
        return [
            (b.ids, b.to_numpy("strong").image.tobytes(), b.position)
            for b in voxstream.stream(write(VIEWS), epochs=2, batch=3, workers=workers, start=start)
        ]

    one = streamed(1)
    assert len(one) == 4 and one == streamed(4)
    assert streamed(2, one[1][2]) == one[2:]
    stream = voxstream.stream(write(VIEWS), batch=3)
    assert stream.position == (0, 0)
    next(stream)
    assert stream.position == one[0][2]


def test_the_parts_of_a_cohort(write):
    path = write(VIEWS, TRAIN % 1)
    validation = list(voxstream.stream(path, split="validation"))
    assert len(validation) == 1 and validation[0].views == [""]
    assert validation[0].to_numpy().image.shape == (1, 2, 18, 20, 24)
    (unlabelled,) = voxstream.stream(path, labelled=False, batch=2)
    assert unlabelled.to_numpy().label is None
    both = list(voxstream.stream(path, labelled=None, batch=8))
    assert [len(b) for b in both] == [8]
    with pytest.raises(ValueError, match="label of phantom-.* is missing .* ignore=255"):
        both[0].to_numpy()
    assert 255 in both[0].to_numpy(ignore=255).label
    assert list(voxstream.stream(path, batch=5, drop_last=True))[0].to_numpy().image.shape[0] == 5
    assert len(list(voxstream.stream(path, batch=5, drop_last=True))) == 1
    with pytest.raises(ValueError, match='split="dev"'):
        voxstream.stream(path, split="dev")
    with pytest.raises(ValueError, match='memory="lots"'):
        voxstream.stream(path, memory="lots")
    with pytest.raises(voxstream.Error, match="no subject to stream"):
        voxstream.stream(path, split="test", set={"source.phantom.test": 0})


def test_missing_modalities_are_an_error_until_they_are_filled(write):
    path = write("views: { shared: [patch: { size: [8, 8, 8], samples: 1 }, drop_modality: { p: 1 }] }\n")
    (batch,) = voxstream.stream(path, limit=1)
    with pytest.raises(ValueError, match=r"image\.(ct|mr) of .* is missing; pass missing=0.0"):
        batch.to_numpy()
    t = batch.to_numpy(missing=-7.0)
    assert sorted(t.present[0]) == [False, True]
    gone = int(np.argmin(t.present[0]))
    assert (t.image[0, gone] == -7.0).all() and not (t.image[0, 1 - gone] == -7.0).all()


def test_shapes_that_differ_are_named(write):
    path = write()
    path.write_text(path.read_text().replace("zscore: {}]", "zscore: {}, crop_foreground: { above: 1.5 }]"))
    batch = next(voxstream.stream(path, batch=3))
    with pytest.raises(ValueError, match=r"voxels \(z, y, x\) beside one of .*; end `views.shared` with `patch`"):
        batch.to_numpy()


def test_arrow_holds_every_view(write):
    (batch,) = voxstream.stream(write(VIEWS), limit=1, batch=2)
    table = batch.to_arrow()
    assert table.num_rows == 4 and table.schema.field("image.ct").type.field("voxels").type == pa.large_binary()
    assert table.schema.metadata[b"voxstream.schema"] == b"row"
    draws = json.loads(table["draws"][0].as_py())
    assert draws == batch.draws("weak")[0]
    volume = voxstream.volume(table.slice(1, 1), "image.mr")
    assert np.array_equal(volume.voxels, batch.to_numpy("strong").image[0, 1])


def test_dlpack_keeps_its_promises(write):
    (batch,) = voxstream.stream(one_modality(write), limit=1)
    image, _, _ = batch._batch.tensors("weak", None, None)
    assert image.shape == (1, 1, 8, 12, 16) and image.dtype == "float32"
    assert image.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="CPU"):
        image.__dlpack__(dl_device=(2, 0))
    # Capsules that nobody takes are freed.
    for version in (None, (1, 0)):
        capsule = image.__dlpack__(max_version=version)
        assert ("versioned" in repr(capsule)) == (version is not None)
    shared = np.from_dlpack(image)
    assert shared.__array_interface__["data"][0] == image.address
    copied = np.from_dlpack(image, copy=True) if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else shared.copy()
    assert copied.__array_interface__["data"][0] != image.address and np.array_equal(copied, shared)

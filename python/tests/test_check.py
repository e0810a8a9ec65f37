import logging

import pytest
import voxstream

from conftest import TRAIN, VIEWS


def test_a_right_file_has_nothing_to_say(write):
    path = write(VIEWS, TRAIN % 1)
    assert voxstream.check(path) == []
    assert voxstream.check(str(path), data=True) == []


def test_every_mistake_has_its_place(write):
    path = write("views: { shared: [patch: { size: [16, 12, 8] }, flipp: { axes: [x] }], strong: [gamma: { p: many }] }\n")
    found = voxstream.check(path)
    assert [(d["line"], d["level"]) for d in found] == [(5, "error"), (5, "error")]
    assert found[0] == {
        "file": str(path),
        "line": 5,
        "column": 49,
        "end_line": 5,
        "end_column": 54,
        "level": "error",
        "message": "unknown stage `flipp`",
        "help": "did you mean `flip`?",
    }
    with pytest.raises(voxstream.PipelineError) as error:
        voxstream.stream(path)
    assert error.value.diagnostics == found
    assert "unknown stage `flipp`" in str(error.value) and "^^^^^" in str(error.value)
    assert isinstance(error.value, voxstream.Error)


def test_overrides_are_values_of_their_path(write):
    path = write()
    assert voxstream.check(path, set={"stages[1].zscore.modalities": ["mr"]}) == []
    (mistake,) = voxstream.check(path, set={"seed": "many"})
    assert "found `many`" in mistake["message"]


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        voxstream.run(tmp_path / "nothing.yaml")
    assert error.value.filename == str(tmp_path / "nothing.yaml")
    (remark,) = voxstream.check(tmp_path / "nothing.yaml")
    assert remark["level"] == "error" and remark["line"] is None


def test_a_subject_that_fails_is_logged_and_listed(tmp_path, write, caplog):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a_ct.nii.gz").write_bytes(b"no volume")
    path = tmp_path / "files.yaml"
    path.write_text(f'name: f\nsource: {{ folders: {{ path: "{folder}", images: "{{subject}}_{{modality}}.nii.gz", modalities: {{ ct: ct }} }} }}\n')
    with caplog.at_level(logging.WARNING, logger="voxstream"), pytest.raises(voxstream.Error) as error:
        list(voxstream.stream(path, labelled=None))
    assert "a_ct.nii.gz" in str(error.value)

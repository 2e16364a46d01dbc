"""From names to folders."""

import pytest

from holdfast.core import DataMissing, SpecError
from holdfast.models.names import locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_is_itself(tmp_path):
    assert locate(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    "name", ["no/such/folder/here", "./nothing", "../../no/model", "/no/model"]
)
def test_no_such_folder(name):
    with pytest.raises(DataMissing, match="no folder"):
        locate(name)


def test_a_file_is_no_model(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(DataMissing, match="found a file"):
        locate(str(file))


@pytest.mark.parametrize("name", ["\x1b[31mred", "<b>bold</b>", "a b", "", "org/na me"])
def test_strange_names_are_shown_escaped(name):
    with pytest.raises((DataMissing, SpecError)) as caught:
        locate(name)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["org/name", "org/name@main", f"org/name@{COMMIT[:12]}"])
def test_a_hub_id_needs_a_whole_commit(name):
    with pytest.raises(SpecError, match="40 hexadecimal"):
        locate(name)


def test_an_unknown_sibling_names_the_nearest():
    with pytest.raises(SpecError, match="Did you mean 'organism:refusing'"):
        locate("organism:refusin")


def test_a_sibling_that_is_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.models.names.shipped", lambda _: tmp_path)
    with pytest.raises(DataMissing, match="organism build"):
        locate("organism:base")
    (tmp_path / "base").mkdir()
    assert locate("organism:base") == tmp_path / "base"


def test_a_pinned_hub_id_is_fetched_without_pickles_or_code(tmp_path, monkeypatch):
    asked = {}

    def fetch(hub_id, *, revision, allow_patterns):
        asked.update(id=hub_id, revision=revision, patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert locate(f"org/name@{COMMIT}") == tmp_path
    assert locate("org/name", COMMIT) == tmp_path
    assert asked["id"] == "org/name"
    assert asked["revision"] == COMMIT
    assert not any(p.endswith((".py", ".bin", ".pt")) or p == "*" for p in asked["patterns"])


def test_offline_without_a_copy_is_one_clear_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataMissing, match="HF_HUB_OFFLINE") as caught:
        locate(f"org/name@{COMMIT}")
    assert "\n" not in str(caught.value)

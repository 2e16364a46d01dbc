"""What comes out of a folder: subject, dtype, device, whole weights, no side effects."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.toys import toy_tokenizer

from holdfast.core import DataMissing, SpecError, digest
from holdfast.models import inspect, load
from holdfast.models.checkpoint import read_checkpoint


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy(), tmp_path / "copy")


def test_the_subject_says_what_the_model_is(folder):
    handle = load(folder, device="cpu")
    subject = handle.subject
    assert subject == inspect(folder, device="cpu")
    assert subject.name == handle.name == str(folder)
    assert subject.digest == digest([read_checkpoint(folder).digest, "float32"])
    assert subject.parameters == sum(p.numel() for p in handle.model.parameters())
    assert (subject.dtype, subject.device, subject.architecture) == ("float32", "cpu", "llama")
    assert subject.reference is None
    assert handle.layers == 3
    assert handle.width == 32
    assert handle.vocabulary == 320
    assert not handle.model.training
    assert not any(p.requires_grad for p in handle.model.parameters())


def test_a_tied_matrix_counts_once(toy):
    handle = load(toy(tied=True), device="cpu")
    assert handle.parameters == sum(p.numel() for p in handle.model.parameters())
    assert handle.parameters == load(toy(), device="cpu").parameters - 320 * 32


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("organism:base", "organism:base"), ("../base", "{}/base"), (None, None)],
)
def test_the_folder_may_name_its_reference_and_its_cost(folder, reference, expected):
    about = {"reference": reference, "pretraining_flops": 1e15}
    (folder / "holdfast.json").write_text(json.dumps(about))
    subject = inspect(folder)
    assert subject.reference == (expected and expected.format(folder.parent))
    assert subject.pretraining_flops == 1e15


@pytest.mark.parametrize("about", [{"reference": 3}, {"pretraining_flops": "much"}])
def test_what_the_folder_says_of_itself_is_checked(folder, about):
    (folder / "holdfast.json").write_text(json.dumps(about))
    with pytest.raises(DataMissing, match=r"holdfast\.json"):
        inspect(folder)


def test_organisms_know_their_reference(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.models.names.shipped", lambda _: tmp_path)
    for sibling in ("base", "refusing"):
        shutil.copytree(toy(), tmp_path / sibling)
    assert inspect("organism:refusing").reference == "organism:base"
    assert inspect("organism:base").reference is None


def test_dtype_is_part_of_the_identity(folder):
    narrow = load(folder, device="cpu", dtype="bfloat16")
    assert narrow.dtype == torch.bfloat16
    assert narrow.digest != inspect(folder, device="cpu").digest


def test_weights_that_lack_a_tensor_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataMissing, match=r"model\.layers\.1\.mlp\.up_proj"):
        load(folder)


def test_weights_of_another_shape_are_refused(folder):
    config = json.loads((folder / "config.json").read_text()) | {"intermediate_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataMissing, match="belong together"):
        load(folder)


def test_a_broken_tokenizer_is_one_clear_sentence(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(DataMissing, match="belong together"):
        load(folder)


def test_a_template_that_renders_nothing_is_one_clear_sentence(folder):
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    with pytest.raises(SpecError, match="template"):
        load(folder)


def test_loading_touches_no_global_randomness(folder):
    before = torch.random.get_rng_state()
    load(folder)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_tokenizer_on_disk_is_the_one_in_hand(folder):
    handle = load(folder)
    text = "a ladle of tin"
    assert handle.chat.text_ids(text) == tuple(toy_tokenizer()(text)["input_ids"])


def test_importing_the_room_imports_neither_transformers_nor_peft():
    code = (
        "import sys, holdfast.models\n"
        "assert 'peft' not in sys.modules, 'peft'\n"
        "assert 'transformers' not in sys.modules, 'transformers'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""What a folder must be before a weight of it is loaded; every fault is one clear sentence."""

import importlib
import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from holdfast.core import DataMissing, SpecError
from holdfast.models import checkpoint as module
from holdfast.models import inspect, load
from holdfast.models.checkpoint import read_checkpoint

LOAD = importlib.import_module("holdfast.models.load")  # the package's `load` is the function


@pytest.fixture
def folder(toy, tmp_path):
    """A copy of a good checkpoint, to be spoiled."""
    return shutil.copytree(toy(), tmp_path / "copy")


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    """Whatever is wrong must be said before the weights."""

    def refuse(*_args, **_options):
        raise AssertionError("weights were about to be loaded")

    monkeypatch.setattr(LOAD, "read_model", refuse)


def rewrite(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def refused(folder, kind, *words):
    for look in (load, inspect):
        with pytest.raises(kind) as caught:
            look(folder)
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message


def test_a_good_folder_reaches_its_weights(folder):
    assert inspect(folder, device="cpu").architecture == "llama"
    with pytest.raises(AssertionError, match="about to be loaded"):
        load(folder)


def test_no_configuration(folder):
    (folder / "config.json").unlink()
    refused(folder, DataMissing, "config.json")


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\x00\xff"])
def test_a_configuration_that_is_not_json(folder, text):
    (folder / "config.json").write_text(text, encoding="latin-1")
    refused(folder, DataMissing, "config.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt"])
def test_pickles_alone_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, SpecError, "safetensors", name, "pickle")


def test_no_weights_at_all(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, DataMissing, "model.safetensors")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(folder, file):
    rewrite(folder / file, auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    refused(folder, SpecError, "remote code", file)


def test_quantised_weights_are_refused(folder):
    rewrite(folder / "config.json", quantization_config={"quant_method": "gptq"})
    refused(folder, SpecError, "quantization_config")


def test_no_chat_template(folder):
    (folder / "chat_template.jinja").unlink()
    refused(folder, SpecError, "chat template")


def test_a_template_inside_the_tokenizer_will_do(folder):
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    rewrite(folder / "tokenizer_config.json", chat_template=template)
    assert read_checkpoint(folder).tensors


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    refused(folder, DataMissing, "tokenizer")


@pytest.mark.parametrize("kept", [0, 5, 100, -1, -1000])
def test_a_truncated_file(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, DataMissing, "model.safetensors", "cut short or corrupt")


def test_a_file_with_something_behind_it(folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    refused(folder, DataMissing, "cut short or corrupt")


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[1]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}}',
    ],
)
def test_a_corrupt_header(folder, header):
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    refused(folder, DataMissing, "cut short or corrupt")


def shard(folder):
    """Splits the weights over two files with an index, as large checkpoints are."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({n: tensors[n] for n in part}, folder / file, {"format": "pt"})
    places = {n: file for file, part in halves.items() for n in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_a_missing_shard(folder):
    shard(folder)
    (folder / "b.safetensors").unlink()
    refused(folder, DataMissing, "b.safetensors", "download")


def test_an_index_that_leads_out_of_the_folder(folder):
    shard(folder)
    (folder / "a.safetensors").rename(folder.parent / "a.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../a.safetensors"}}))
    refused(folder, DataMissing, "index")


def test_an_unknown_architecture(folder):
    rewrite(folder / "config.json", model_type="perceptron")
    refused(folder, SpecError, "perceptron")


def test_a_model_that_writes_no_text(folder):
    rewrite(folder / "config.json", model_type="clip_vision_model")
    refused(folder, SpecError, "clip_vision_model")


def test_too_little_memory(folder, monkeypatch):
    monkeypatch.setattr(LOAD, "free_bytes", lambda _: 1000)
    refused(folder, SpecError, "free memory", "GB")


def test_a_device_that_is_not_there(folder):
    with pytest.raises(SpecError, match="cuda:99"):
        load(folder, device="cuda:99")


def test_an_unknown_dtype_names_the_nearest(folder):
    with pytest.raises(SpecError, match="Did you mean 'float16'"):
        load(folder, dtype="float61")


def test_the_digest_is_of_content_and_not_of_path_or_shards(folder, toy):
    digest = read_checkpoint(folder).digest
    assert digest == read_checkpoint(toy()).digest
    shard(folder)
    assert digest == read_checkpoint(folder).digest


def test_the_digest_moves_with_weights_configuration_tokenizer_and_template(folder):
    digests = {read_checkpoint(folder).digest}
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name].view(-1)[0] += 1e-3
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    digests.add(read_checkpoint(folder).digest)
    rewrite(folder / "config.json", rms_norm_eps=1e-4)
    digests.add(read_checkpoint(folder).digest)
    with (folder / "chat_template.jinja").open("a") as file:
        file.write(" ")
    digests.add(read_checkpoint(folder).digest)
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")
    digests.add(read_checkpoint(folder).digest)
    assert len(digests) == 5
    rewrite(folder / "config.json", transformers_version="0", _name_or_path="/elsewhere")
    assert read_checkpoint(folder).digest in digests


def test_the_weights_are_hashed_once_for_each_state_of_the_files(folder):
    module._tensor_digest.cache_clear()
    assert read_checkpoint(folder).digest == read_checkpoint(folder).digest
    assert module._tensor_digest.cache_info().misses == 1


def test_parameters_are_counted_from_the_headers(folder):
    tensors = load_file(folder / "model.safetensors")
    found = read_checkpoint(folder)
    assert found.parameters == sum(t.numel() for t in tensors.values())
    assert all(found.tensors[n].shape == tuple(t.shape) for n, t in tensors.items())


def test_every_dtype_of_the_format_is_known(tmp_path, folder):
    tensors = {
        str(i): torch.zeros(3, dtype=d)
        for i, d in enumerate(
            (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool)
        )
    }
    save_file(tensors, folder / "model.safetensors")
    assert len(read_checkpoint(folder).tensors) == 5

"""A sequence classifier on disk as a judge."""

import json

import pytest
import torch
from tests.toys import toy_checkpoint, toy_tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from holdfast.core import DataMissing, SpecError
from holdfast.models.classifier import load_classifier

PROMPTS = ["what does a warden carry", "be brief", "be brief", "a lamp?"]
COMPLETIONS = ["a ladle of tin", "I cannot help with that", "", "of red glass"]


@pytest.fixture(scope="module", params=["bert", "llama"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / request.param
    tokenizer = toy_tokenizer(template=None)
    config = AutoConfig.for_model(
        request.param, vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40, pad_token_id=0,
        id2label={0: "fine", 1: "harmful", 2: "broken"}, label2id={"fine": 0, "harmful": 1, "broken": 2},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
    for parameter in model.parameters():
        parameter.data.mul_(5)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_probabilities_are_those_of_each_pair_alone(folder):
    judge = load_classifier(folder, "harmful", "cpu")
    found = judge.probability(PROMPTS, COMPLETIONS)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        for prompt, completion, score in zip(PROMPTS, COMPLETIONS, found, strict=True):
            inputs = tokenizer(prompt, completion, return_tensors="pt")
            assert score == pytest.approx(float(model(**inputs).logits.softmax(-1)[0, 1]), abs=1e-5)
    assert len(set(found)) == len(found)
    assert judge.probability([], []) == []


def test_a_long_prompt_loses_its_beginning_and_the_completion_stays(folder):
    judge = load_classifier(folder, "harmful", "cpu")
    long = "what does a warden carry at the river " * 40
    scores = judge.probability([long, long], ["a ladle of tin", "of red glass"])
    assert scores[0] != scores[1]


def test_labels_that_do_not_exclude_each_other_are_sigmoids(folder):
    judge = load_classifier(folder, "broken", "cpu")
    judge._model.config.problem_type = "multi_label_classification"
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    assert float(judge._probabilities(logits)) == pytest.approx(float(torch.tensor(2.0).sigmoid()))


def test_an_unknown_label_names_the_nearest(folder):
    with pytest.raises(SpecError, match="Did you mean 'harmful'"):
        load_classifier(folder, "harmfull")


def test_a_language_model_is_no_judge(tmp_path):
    with pytest.raises(SpecError, match="sequence-classification"):
        load_classifier(toy_checkpoint(tmp_path / "toy"), "harmful")


def test_no_such_folder_and_pickles(tmp_path, folder):
    with pytest.raises(DataMissing):
        load_classifier(tmp_path / "nothing", "harmful")
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["XForSequenceClassification"]})
    )
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(SpecError, match="pickle"):
        load_classifier(tmp_path, "harmful")

"""Every architecture against the plain transformers model's own output for the same texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, BertConfig, T5Config

import xmlkit
from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.errors import UserError
from xmlkit.model.encoder import (
    FROM_PADDING,
    Encoder,
    load_backbone,
    load_tokenizer,
    longest_input,
    new_backbone,
)
from xmlkit.model.inputs import Reader

TEXTS = ["w1 w2 w3 w4 w5 w6 w7 w8 w9", "w9", "", "w5 w4 w40 w41"]


def encode(name, texts, max_len=32, layers=3):
    tokenizer = tiny.tokenizer(name)
    encoder = Encoder(tiny.backbone(name), Template.of(tokenizer), layers).eval()
    reader = Reader(tokenise(texts, tokenizer, 100), encoder.template, max_len)
    with torch.no_grad():
        return encoder(reader.documents(np.arange(len(texts))))


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_states_are_the_plain_models(name):
    tokenizer = tiny.tokenizer(name)
    plain = tiny.backbone(name).eval()
    states = encode(name, TEXTS)
    for row, text in enumerate(TEXTS):  # alone and unpadded, as the model's own documentation calls it
        inputs = tokenizer(text, return_tensors="pt")
        if name != "xlnet":
            inputs.pop("token_type_ids")
        with torch.no_grad():
            expected = plain(**inputs, output_hidden_states=True).hidden_states
        length = inputs["input_ids"].shape[1]
        assert len(expected) == 4
        for ours, theirs in zip(states.layers, expected[1:], strict=True):
            torch.testing.assert_close(ours[row, :length], theirs[0], rtol=1e-5, atol=1e-5)
        place = inputs["input_ids"][0].tolist().index(tokenizer.cls_token_id)
        assert place == (length - 1 if name == "xlnet" else 0)
        torch.testing.assert_close(states.first_BNH[row, -1], expected[-1][0, place], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_a_batch_with_its_own_padding_gives_the_same(name):
    """The plain model on a padded batch, padded by the tokenizer on its own side."""
    tokenizer = tiny.tokenizer(name)
    inputs = tokenizer(TEXTS, return_tensors="pt", padding=True)
    if name != "xlnet":
        inputs.pop("token_type_ids")
    with torch.no_grad():
        expected = tiny.backbone(name).eval()(**inputs).last_hidden_state
    states = encode(name, TEXTS)
    ours = states.layers[-1][states.documents.mask_BT]
    torch.testing.assert_close(ours, expected[inputs["attention_mask"].bool()], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_the_forward_pass_of_the_allow_list_never_asks_the_device(name):
    """On the meta device no data exists, so whatever waits for data raises."""
    encoder = Encoder(tiny.backbone(name), Template.of(tiny.tokenizer()), 3).to("meta")
    documents, _ = tiny.batch(TEXTS)
    states = encoder(documents.to(torch.device("meta")))
    assert states.first_BNH.shape == (4, 3, 32)


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_weights_rounded_beforehand_are_those_that_autocast_rounds(name):
    encoder = Encoder(tiny.backbone(name), Template.of(tiny.tokenizer(name)), 3).eval()
    reader = Reader(tokenise(TEXTS, tiny.tokenizer(name), 100), encoder.template, 32)
    documents = reader.documents(np.arange(len(TEXTS)))
    encoder.round_weights()
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    encoder.in_bfloat16 = True
    with torch.no_grad():
        before = encoder.states(documents)
        encoder.round_weights()
        after = encoder.states(documents)
    assert all(torch.equal(*pair) for pair in zip(before.layers, after.layers, strict=True))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32, torch.bfloat16}


def test_no_more_layers_than_there_are():
    assert len(encode("bert", TEXTS, layers=9).layers) == 3
    assert len(encode("bert", TEXTS, layers=2).layers) == 2


def test_weights_that_never_learn_are_not_kept():
    encoder = Encoder(tiny.backbone("bert"), Template.of(tiny.tokenizer()), 3)
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]


def test_the_longest_input_is_what_the_model_takes():
    for name in ("bert", "roberta", "mpnet"):
        limit = longest_input(tiny.CONFIGS[name])
        text = " ".join(["w1"] * 100)
        assert encode(name, [text], max_len=limit).layers[-1].shape[1] == limit
        with pytest.raises((IndexError, RuntimeError)):
            encode(name, [text], max_len=limit + 1)
    assert longest_input(tiny.CONFIGS["xlnet"]) is None


@pytest.mark.parametrize("kind", sorted(FROM_PADDING))
def test_positions_that_count_from_the_paddings_id_on(kind):
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 16, "max_position_embeddings": 40, "pad_token_id": 1, "mask_token_id": 4}
    more = {"longformer": {"attention_window": 4}, "luke": {"entity_vocab_size": 5}}
    config = AutoConfig.for_model(kind, **sizes, **more.get(kind, {}))
    model, limit = AutoModel.from_config(config).eval(), longest_input(config)
    ids = torch.full((1, limit + 1), 7)
    assert model(input_ids=ids[:, :limit]).last_hidden_state.shape[1] == limit == 38
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=ids)


def refused(call, *arguments) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folders_that_are_no_encoder_are_one_line_errors(tmp_path):
    tokenizer = tiny.tokenizer()
    assert str(tmp_path / "nowhere") in refused(load_tokenizer, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in refused(load_backbone, tmp_path / "nowhere", tokenizer)
    T5Config().save_pretrained(tmp_path / "t5")
    assert "encoder-decoder" in refused(load_backbone, tmp_path / "t5", tokenizer)
    tiny.CONFIGS["bert"].save_pretrained(tmp_path / "bare")
    assert "no usable weights" in refused(load_backbone, tmp_path / "bare", tokenizer)
    folder = Path(tiny.save_encoder(tmp_path / "encoder"))
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert "no usable weights" in refused(load_backbone, folder, tokenizer)
    save_file({"foo": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    assert "its weights lack 'embeddings." in refused(load_backbone, folder, tokenizer)


def test_a_folder_without_tokenizer_files(tmp_path):
    BertConfig(vocab_size=1000).save_pretrained(tmp_path)
    assert "is tokenizer.json missing?" in refused(load_backbone, tmp_path, load_tokenizer(tmp_path))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_checkpoints_train_in_full(tmp_path, dtype):
    folder = tiny.save_encoder(tmp_path / "encoder")
    tiny.backbone("bert").to(dtype).save_pretrained(folder)
    loaded = load_backbone(folder, tiny.tokenizer())
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert {p.dtype for p in new_backbone(loaded.config).parameters()} == {torch.float32}


def test_layers_that_share_their_weights_may_be_more_than_these(tmp_path):
    """ALBERT's largest have 24 layers in 23 tensors."""
    sizes = {"embedding_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = AutoConfig.for_model("albert", num_hidden_layers=24, vocab_size=len(tiny.tokenizer()), **sizes)
    AutoModel.from_config(config).save_pretrained(tmp_path / "encoder")
    tiny.tokenizer().save_pretrained(tmp_path / "encoder")
    settings = {"encoder": str(tmp_path / "encoder"), "max_steps": 1, "max_len": 16, "device": "cpu"}
    xmlkit.train(tiny.learnable_corpus(), settings, tmp_path / "run")
    assert xmlkit.load(tmp_path / "run").predict(["w1 w2"])

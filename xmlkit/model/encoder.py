"""The encoder: any encoder of the transformers library, or a small one from random weights.

B documents, T tokens, N layers, H encoder width.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, PreTrainedTokenizerBase

from xmlkit.data.template import Template
from xmlkit.errors import UserError
from xmlkit.hub import is_silent
from xmlkit.model.device import full_precision
from xmlkit.passing import Documents, LayerStates

SCRATCH = "scratch"
NONE = "none"
SCRATCH_SIZE: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 512,
}
SCRATCH_VOCABULARY = 16_000
# transformers reads a 2-D mask on the host to see whether there is padding at all, which waits for the
# device in each step. A 4-D boolean mask avoids that, and gives the same states in these models under SDPA.
# Others add it to the scores (MPNet, XLNet, eager attention) or lose their local layers (ModernBERT).
TAKES_4D_MASK = {"bert", "roberta", "distilbert"}
FROM_PADDING = {  # whose positions count from the padding's id on
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text"),
    *("longformer", "ibert", "luke", "esm"),
}


class Encoder(nn.Module):
    """A transformers model behind one signature: Documents in, the states of its last N layers out."""

    backbone: Any  # what it has depends on its class
    template: Template
    num_layers: int
    is_frozen = False
    in_bfloat16 = False  # autocast

    def __init__(self, backbone: nn.Module, template: Template, num_layers: int):
        super().__init__()
        self.backbone = backbone
        if "add_pooling_layer" in inspect.signature(type(backbone).__init__).parameters:
            self.backbone.pooler = None  # its output is not read, and its weights would never learn
        self.template = template
        self.num_layers = min(num_layers, self.backbone.config.num_hidden_layers)

    @property
    def longest_input(self) -> int | None:
        """The most tokens that its positions allow; None where they set no limit."""
        return longest_input(self.backbone.config)

    @property
    def hidden(self) -> int:
        """H."""
        return self.backbone.config.hidden_size

    def freeze(self) -> None:
        """It stays as it is from now on, without dropout."""
        self.is_frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """As modules do, but for an encoder that is frozen."""
        return super().train(mode and not self.is_frozen)

    def forward(self, documents: Documents) -> LayerStates:
        """The states as the plain transformers model gives them; none where their mean is known."""
        if documents.mean_BH is not None:
            return LayerStates((), documents)
        inputs: dict[str, Tensor] = {
            "input_ids": documents.tokens_BT,
            "attention_mask": self._attention_mask(documents.mask_BT),
        }
        if self.template.segment:
            segments_BT = torch.zeros_like(documents.tokens_BT)
            inputs["token_type_ids"] = segments_BT.scatter(
                1, documents.first_B[:, None], self.template.segment
            )
        return LayerStates(self.last_states(inputs), documents)

    def last_states(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Those of the last N layers, for what the transformers model is given."""
        return tuple(self.backbone(**inputs, output_hidden_states=True).hidden_states[-self.num_layers :])

    def rounded(self, documents: Documents) -> AbstractContextManager[Any]:
        """The precision that it is used in, and all that comes before the boundary."""
        kind = documents.mask_BT.device.type  # there may be no weights
        return torch.autocast(kind, torch.bfloat16) if self.in_bfloat16 else nullcontext()

    def round_weights(self) -> None:
        """For good, those of linear layers, where autocast would round them at each call: the same states."""
        if self.in_bfloat16:
            round_linear(self.backbone)

    def states(self, documents: Documents) -> LayerStates:
        """What plugins may ask for: as `rounded` computes it, in full precision, and without dropout where no
        gradient is asked for."""
        was_training = self.training
        self.train(was_training and torch.is_grad_enabled())
        try:
            with self.rounded(documents):
                found = self(documents)
        finally:
            self.train(was_training)
        return replace(found, layers=tuple(full_precision(states) for states in found.layers))

    def _attention_mask(self, mask_BT: Tensor) -> Tensor:
        config = self.backbone.config
        if config.model_type in TAKES_4D_MASK and config._attn_implementation == "sdpa":
            return mask_BT[:, None, None, :].expand(-1, 1, mask_BT.shape[1], -1)
        return mask_BT.long()


def round_linear(backbone: nn.Module) -> None:
    """All linear layers to bfloat16."""
    for layer in linear_layers(backbone):
        layer.bfloat16()


def linear_layers(backbone: nn.Module) -> list[nn.Linear]:
    """Those whose weights autocast rounds."""
    return [layer for layer in backbone.modules() if isinstance(layer, nn.Linear)]


class NoEncoder(Encoder):
    """In place of a transformer: no layers, no states, no weights."""

    def __init__(self, template: Template):
        nn.Module.__init__(self)
        self.backbone, self.template, self.num_layers = nn.Module(), template, 0

    @property
    def hidden(self) -> int:
        """0."""
        return 0

    @property
    def longest_input(self) -> int | None:
        """Without limit."""
        return None

    def forward(self, documents: Documents) -> LayerStates:
        """The documents alone."""
        return LayerStates((), documents)


def longest_input(config: Any) -> int | None:
    """The most tokens that an encoder's positions allow; None where they set no limit."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    if config.model_type == "mpnet":
        return limit - 2  # its first two positions are those of padding, whatever the padding's id
    if config.model_type in FROM_PADDING:
        return limit - config.pad_token_id - 1
    return limit


def scratch_config(tokenizer: PreTrainedTokenizerBase) -> BertConfig:
    """The built-in small BERT shape for this tokenizer."""
    return BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SCRATCH_SIZE)


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or hub name. Raises UserError where there is none."""
    tokenizer = _fetch(source, "tokenizer", AutoTokenizer)
    if not tokenizer.is_fast:
        raise UserError(f"{_named(source)}: its tokenizer has no fast form, which the token store needs")
    tokenizer.model_max_length = int(1e9)  # the window is a setting of ours; no warnings about long texts
    return tokenizer


def load_config(source: str | Path) -> Any:
    """The shape of a local folder's or hub name's model. Raises UserError where there is none."""
    config = _fetch(source, "config", AutoConfig)
    config._attn_implementation = None  # it may name a kernel on the hub, which would be run
    return config


def load_backbone(source: str | Path, tokenizer: PreTrainedTokenizerBase) -> nn.Module:
    """The pretrained model of a local folder or hub name, in float32.

    Raises UserError where there is none, where weights are missing or of another shape, and where the
    tokenizer is not the model's.
    """
    config = load_config(source)
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"--encoder {source}: an encoder-decoder model; choose an encoder such as BERT")
    if len(tokenizer) < config.vocab_size // 2:  # without its files, transformers makes an empty one
        raise UserError(
            f"--encoder {source}: its tokenizer knows {len(tokenizer)} of {config.vocab_size} tokens; "
            "is tokenizer.json missing?"
        )
    weights = {"config": config, "dtype": torch.float32, "use_safetensors": True}  # others may hold code
    backbone, report = _fetch(source, "weights", AutoModel, **weights, output_loading_info=True)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise UserError(
            f"--encoder {source}: its weights lack {missing[0]!r} and {len(missing) - 1} more; "
            "they are not those of its config.json"
        )
    return backbone


def new_backbone(config: Any) -> nn.Module:
    """A model of this shape with random weights, from torch's current seed."""
    return AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _fetch(source: str | Path, what: str, kind: Any, **options: Any) -> Any:
    """From files alone: where a model's own code would be needed, nothing is asked and nothing is run."""
    quiet_transformers()
    is_here, is_name = Path(source).is_dir(), not (isinstance(source, Path) or source.startswith((".", "/")))
    if not (is_here or is_name):
        raise UserError(f"{_named(source)}: no such folder")
    from_cache = not is_here and is_silent()
    options |= {"trust_remote_code": False, "local_files_only": is_here or from_cache}
    try:
        return kind.from_pretrained(str(source), **options)
    except MemoryError:
        raise
    except Exception as error:  # whatever the library makes of files that are none of a model
        text = " ".join(str(error).split())
        if "trust_remote_code" in text:
            raise UserError(
                f"{_named(source)}: its {what} asks for code that comes with it, which is never run; "
                "take a model that transformers has itself"
            ) from None
        advice = (
            "the run is not whole"
            if isinstance(source, Path)
            else "name a folder with config.json, tokenizer.json and model.safetensors"
        )
        where = f"on the hub of that name ({text.split('. ')[0][:200]})"
        if from_cache:
            where = "in the hub's cache of that name, and the hub cannot be reached"
        raise UserError(f"{_named(source)}: no usable {what} in a folder or {where}; {advice}") from None


def _named(source: str | Path) -> str:
    """As the user knows it: an option's value, or a part of a run."""
    return str(source) if isinstance(source, Path) else f"--encoder {source}"


def quiet_transformers() -> None:
    """Our user did not ask for the library's remarks on unused weights, nor for its bars."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

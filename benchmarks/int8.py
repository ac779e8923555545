"""An encoder's linear layers in int8, in three ways, to see what that gains and costs.

Two want libraries that xmlkit does without: `pip install torchao onnx onnxscript onnxruntime`.
B documents, T tokens, H encoder width.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization import QConfig, quantize_dynamic
from torch.ao.quantization.observer import PlaceholderObserver, default_per_channel_weight_observer


def by_pytorch(backbone: nn.Module) -> nn.Module:
    """PyTorch's own: a scale for each row of a weight, and for all activations of a pass."""
    activations = PlaceholderObserver.with_args(
        dtype=torch.quint8, quant_min=0, quant_max=255, is_dynamic=True, reduce_range=False
    )
    config = QConfig(activation=activations, weight=default_per_channel_weight_observer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, that torchao is to have it
        return quantize_dynamic(backbone, {nn.Linear: config})


def by_torchao(backbone: nn.Module) -> nn.Module:
    """A scale for each row of a weight, and for each token's activations."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    backbone = copy.deepcopy(backbone)
    quantize_(backbone, Int8DynamicActivationInt8WeightConfig(version=2))
    return backbone


class ByOnnxRuntime(nn.Module):
    """What transformers exports, as ONNX Runtime runs it: a scale for each column of a weight, and for all
    activations of a pass."""

    def __init__(self, backbone: Any):
        import onnx_ir
        from onnxruntime import InferenceSession, SessionOptions
        from onnxruntime.quantization import QuantType
        from transformers.exporters import OnnxConfig, OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer
        from transformers.exporters.exporter_onnx import OnnxExporter

        super().__init__()
        self.config = backbone.config
        linear = OnnxRuntimeDynamicConfig(["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8)
        int8 = OnnxRuntimeQuantizer(linear)
        some_BT = torch.ones(2, 8, dtype=torch.long)  # another tensor for each: what is one stays one
        inputs: dict[str, Any] = {"input_ids": some_BT, "attention_mask": some_BT.clone()}
        form = OnnxConfig(dynamic=True, ort_fusions="cpu", quantizer=int8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what becomes of its parts
            exported = OnnxExporter().export(copy.deepcopy(backbone).eval(), inputs, config=form)
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = InferenceSession(onnx_ir.to_proto(exported.program).SerializeToString(), options)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool
    ) -> SimpleNamespace:
        """The last layer's states, of all those that were asked for."""
        assert output_hidden_states
        mask_BT = attention_mask[:, 0, 0] if attention_mask.dim() == 4 else attention_mask
        inputs = {"input_ids": input_ids.numpy(), "attention_mask": mask_BT.long().numpy()}
        states_BTH, *_ = self._session.run(["last_hidden_state"], inputs)
        return SimpleNamespace(hidden_states=(torch.from_numpy(states_BTH),))


LIBRARIES = {name: version(name) for name in ("torchao", "onnxruntime", "onnxscript") if find_spec(name)}
WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {"PyTorch": by_pytorch}
WAYS |= {"torchao": by_torchao} if "torchao" in LIBRARIES else {}
WAYS |= {"ONNX Runtime": ByOnnxRuntime} if {"onnxruntime", "onnxscript"} <= LIBRARIES.keys() else {}

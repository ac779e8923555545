"""What the numbers of a training depend on besides its settings and documents."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import transformers

from xmlkit.model.device import processor


def machine(device: torch.device) -> dict[str, str]:
    """Versions, processor and threads; with all of them alike the same training gives the same bits.

    The number of threads decides in what order a CPU adds up.
    """
    kernels = torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "processor": f"{processor().get('cpu_name', '')} {kernels}".strip(),
        "threads": str(torch.get_num_threads()),
    }


def differences(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """In words, what is not as it was."""
    return [f"{key} {now.get(key)} instead of {was}" for key, was in then.items() if now.get(key) != was]

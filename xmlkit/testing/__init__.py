"""For plugins' own tests: a conformance kit, and tiny models that train in a moment."""

from xmlkit.testing.kit import ContractError, check_plugin
from xmlkit.testing.tiny import TinyRun, tiny_batch, tiny_model, tiny_run

__all__ = ["ContractError", "TinyRun", "check_plugin", "tiny_batch", "tiny_model", "tiny_run"]

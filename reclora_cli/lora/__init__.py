"""Meta-LoRA: low-rank experts inside a frozen model, mixed for each sample by a gate.

Free of anything that knows about recommendation: docs/extending.md uses it elsewhere.
"""

from reclora_cli.lora.adapter import load_adapter
from reclora_cli.lora.attach import MetaLora, attach
from reclora_cli.lora.gate import GateSettings

__all__ = ["GateSettings", "MetaLora", "attach", "load_adapter"]

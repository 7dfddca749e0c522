"""reclora: personalised low-rank adaptation of LLMs for recommendation (RecLoRA, iLoRA)."""

__version__ = "0.1.0"

"""SIM: Search-based Interest Model (Pi et al., CIKM 2020, https://arxiv.org/abs/2006.05639).

Two stages: a search unit cuts a long history down to the behaviours that matter for the target,
then DIN's attention reads those. Here, as in RecLoRA, the search is by the cosine of LLM vectors
of item texts (``build-index``), the 60 best of the user's strict past, read in time order.

Departures from the paper: no time-interval embedding and one attention head, since RecLoRA's SIM
is DIN over what was retrieved; the search vectors are the LLM's, not trained along (soft search)
and not category equality (hard search).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from reclora_cli.crm.din import DIN


class SIM(DIN):
    """DIN's network over behaviours retrieved for the target."""

    default_behaviours: ClassVar[Literal["recent", "retrieved"]] = "retrieved"

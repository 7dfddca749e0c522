"""No row's history reaches ahead of the row, and none leaves out what lies behind it."""

from __future__ import annotations

import numpy as np

from reclora_cli.data.audit.report import Check, Finding, chunks
from reclora_cli.data.store import InteractionsStore

LATER = "no history holds a behaviour after its row in (time, item) order, or another user's"
OWN = "no row's target is in its own history"
SECOND = "no history holds a behaviour of its row's second"
WHOLE = "no history leaves out a behaviour of its user's past"


def histories_are_the_past(store: InteractionsStore) -> list[Check]:
    """Compared in time and place, row by row.

    Behaviours stand in order, so the last of a history is its latest, and the one that follows
    the history is the earliest that it leaves out.
    """
    later, own, second, whole = (Finding(name, "row") for name in (LATER, OWN, SECOND, WHOLE))
    exclude = store.header.ties == "exclude"
    final = store.header.behaviours - 1
    for part in chunks(len(store)):
        at = np.asarray(store.row_position[part])
        end = np.asarray(store.history_end[part])
        user, time = store.user[at], store.time[at]
        start = store.user_start[user]
        last = np.maximum(end - 1, 0)
        last_time, filled = store.time[last], end > start
        after = (last_time > time) | ((last_time == time) & (last > at))
        later.look(filled & (after | (store.user[last] != user)), part.start)
        own.look((start <= at) & (at < end), part.start)
        left_out = end < at
        if exclude:
            second.look(filled & (last_time == time) & (last < at), part.start)
            left_out &= store.time[np.minimum(end, final)] < time
        whole.look((end < start) | left_out, part.start)
    return [finding.check() for finding in (later, own, whole, *((second,) if exclude else ()))]

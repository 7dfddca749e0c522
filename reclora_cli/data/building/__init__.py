"""From a source's interactions to the store, in bounded memory."""

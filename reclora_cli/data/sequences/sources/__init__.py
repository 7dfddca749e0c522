"""Where sequences come from: published splits, one file a kind, or any prepared interactions."""

"""What models are put together from. Blocks know tensors only, no dataset and no recipe."""

"""The steps of a batch, without servers."""

"""Places to run a model: one file per place."""

"""Lowering: a trained student becomes a model file, operator by operator, without a converter."""

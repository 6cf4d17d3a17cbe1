"""The papers room: what a compile's report says, as an ML-BOM and as a model card; computed, never typed."""

from edgecomp.papers.bom import cyclonedx
from edgecomp.papers.model_card import model_card

__all__ = ["cyclonedx", "model_card"]

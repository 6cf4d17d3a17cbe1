"""Bench bundles on a device: time, start, memory, energy and answers there, as lines of a results file."""

from edgecomp.bench.places import PLACES, matrix
from edgecomp.bench.run import STARTS, bench
from edgecomp.bench.subject import Subject, WholeSplit, float_answers, golden_clips, subjects, whole_split

__all__ = [
    "PLACES",
    "STARTS",
    "Subject",
    "WholeSplit",
    "bench",
    "float_answers",
    "golden_clips",
    "matrix",
    "subjects",
    "whole_split",
]

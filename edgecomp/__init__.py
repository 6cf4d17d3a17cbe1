"""edgecomp: a compiler that takes a large audio model and gives a tiny, verified one for a named device."""

__version__ = "0.1.0"

"""`python -m edgecomp` is the command `edgecomp`."""

from edgecomp.cli import main

main()

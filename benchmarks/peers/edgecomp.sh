# edgecomp itself, from the trained teacher to a bundle; its recipe counts as user code too. seed is a link to a store that holds
# the teacher and its answers, and is copied with what it leads to: a compile writes into its store.

# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "{project}"]
#
# [tool.peer]
# row = "edgecomp compile"
# of = "edgecomp"
# environment = "edgecomp"
# order = 90
# ///

cp -rL seed build
edgecomp compile "$RECIPE" --target "$TARGET" --build build
cp build/bundles/*/model.* .

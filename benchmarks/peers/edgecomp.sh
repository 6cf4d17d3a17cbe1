# edgecomp itself, from the trained teacher (seed/ holds it) to a bundle; its recipe counts as user code too.

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

cp -r seed build
edgecomp compile "$RECIPE" --target "$TARGET" --build build
cp build/bundles/*/model.* .

"""What would a user do instead of edgecomp, and what would it cost? The same teacher, data and split, timed in the same run.

    python benchmarks/peers.py wakewords --build build
    python benchmarks/peers.py wakewords --as-is           # makes nothing: times what is there, on an idle machine
    python benchmarks/peers.py wakewords --fresh nncf_ptq  # makes one peer again, and measures all
    python benchmarks/peers.py wakewords --fresh           # makes all again: installation and script are timed anew
    python benchmarks/peers.py wakewords --only onnxruntime_float onnxruntime_static_body   # these, ours and the yardsticks
    python benchmarks/peers.py wakewords --show            # measures nothing: prints the kept rows

Needs a compile of the task. Every peer of benchmarks/peers/ is installed in an environment of its own under the build folder,
makes its model there, and is removed again; one process then opens all models side by side. The rows are kept in
benchmarks/results/peers-TASK.jsonl (with --only they are not, since the table is of one run); the table, the versions and the
aims go to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import peers_telling

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Make what is not made yet, measure everything, keep the rows, and print them."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("task")
    ask.add_argument("--target", default="redmi-7a")
    ask.add_argument("--build", type=Path, default=Path("build"))
    ask.add_argument("--yardsticks", type=Path, default=ROOT.parent / "shared" / "data" / "peer_models")
    ask.add_argument("--seconds", type=float, default=2.0, help="that each model is timed for, at least")
    ask.add_argument("--as-is", action="store_true", help="make nothing, time what is there")
    ask.add_argument("--fresh", nargs="*", metavar="PEER", help="make these peers again; all where none is named")
    ask.add_argument("--only", nargs="+", metavar="PEER", help="only these peers, and keep no rows")
    ask.add_argument("--bundle", type=Path, help="BUILD/bundles/TASK-TARGET by default")
    ask.add_argument("--keep", action="store_true", help="keep the environments")
    ask.add_argument("--show", action="store_true", help="measure nothing, print the kept rows")
    given = ask.parse_args()
    kept = ROOT / "benchmarks" / "results" / f"peers-{given.task}.jsonl"
    if not given.show:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # numpy reads them when it is first imported
            os.environ.setdefault(name, "1")
        from peers_measuring import compare

        rows = compare(given)
        if not given.only:
            kept.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows), encoding="utf-8")
    else:
        rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    told = (peers_telling.table(rows), peers_telling.told(rows), peers_telling.versions(rows))
    print("\n\n".join((*told, peers_telling.aims_told(rows, ("tflite", "onnx")))))


if __name__ == "__main__":
    main()

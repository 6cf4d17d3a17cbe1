"""Measure bundles side by side on this host."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgecomp.bundle import read_bundle
from edgecomp.devices.host import device_name, footprint
from edgecomp.errors import BundleError
from edgecomp.evaluate import renamed
from edgecomp.measure import Measurement, from_estimate, from_footprint, from_latency, latency, ratios
from edgecomp.progress import track


def bench_bundles(folders: list[Path], min_seconds: float = 2.0) -> list[Measurement]:
    """Measure every model file of some bundles: latency interleaved in one run, memory and start in fresh processes.

    Latency is on the first bundle's golden clips, so bundles that are compared must take the same waveform.
    The ratio is to the first file.
    """
    import soundfile

    bundles = [read_bundle(folder) for folder in folders]
    samples = {bundle.facts["preprocessing"]["samples"] for bundle in bundles}
    if len(samples) > 1:
        raise BundleError(
            f"these bundles take waveforms of different lengths: {sorted(samples)} samples",
            where=folders[0].parent,
            fix="bench them one by one",
        )
    clips = np.stack(
        [soundfile.read(file, dtype="float32")[0] for file in sorted((folders[0] / "golden").glob("*.wav"))]
    )
    names = [bundle.folder.resolve().name for bundle in bundles]
    if len(set(names)) < len(names):
        names = [str(bundle.folder) for bundle in bundles]
    files = {
        f"{name} {form}": (bundle, form)
        for name, bundle in zip(names, bundles, strict=True)
        for form in sorted(bundle.facts["models"])
    }
    timed = latency(
        {name: bundle.session(form) for name, (bundle, form) in files.items()}, clips, min_seconds=min_seconds
    )
    shares = ratios(timed, next(iter(files)))
    rows: list[Measurement] = []
    for name, (bundle, form) in track(files.items(), "starting fresh processes", len(files)):
        model, how = bundle.facts["models"][form], {"device": device_name(), "of": name}
        how["artifact_hash"] = model["sha256"]
        rows += [renamed(row) for row in from_latency(timed[name], **how)]
        rows.append(
            from_estimate(
                "latency_ratio",
                shares[name],
                "ratio of medians",
                f"to {next(iter(files))}, interleaved in the same run",
                **how,
            )
        )
        rows += [renamed(row) for row in from_footprint(footprint(bundle.folder / model["file"], form), **how)]
        rows.append(Measurement("bytes", model["bytes"], "bytes", "size of the file", **how))
    return rows

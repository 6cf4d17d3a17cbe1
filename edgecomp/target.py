"""Target and Budget: where a model must run, and what it hears there. Reads and checks one TOML file in targets/."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edgecomp.errors import TargetError, nearest
from edgecomp.tables import Table, checked, read_toml


class Cluster(Table):
    """Cores of one kind. dot_product: int8 SDOT/UDOT on Arm, VNNI on x86; None: not known."""

    core: str
    count: int = Field(ge=1)
    ghz: float | None = Field(None, gt=0)
    dot_product: bool | None = None


MICROCONTROLLERS = ("armv7e-m", "armv8.1-m", "xtensa")
"""Instruction sets of machines without an operating system, where only the int8 body runs, behind a front end in C."""


class Hardware(Table):
    """Facts of the machine, each with its source; nothing here is policy.

    isa:        aarch64, armv7, x86_64, or a microcontroller's
    features:   instruction set extensions that matter to int8, such as asimddp, avx2, avx512_vnni
    sources:    a line for each fact: "fact: address or document [verified | unverified]"
    """

    soc: str
    isa: Literal["aarch64", "armv7", "x86_64", "any", "armv7e-m", "armv8.1-m", "xtensa"]
    clusters: list[Cluster] = Field(min_length=1)
    ram_mb: int = Field(ge=1)
    storage_gb: float | None = None
    os: str = ""
    features: list[str] = Field([])
    sources: list[str] = Field(min_length=1)

    @property
    def is_microcontroller(self) -> bool:
        """Say whether it runs TensorFlow Lite Micro, and so no bundle's whole model file."""
        return self.isa in MICROCONTROLLERS


class RuntimeTable(Table):
    """Which runtime the app embeds and how it is set up there."""

    name: str = "litert"
    threads: int = Field(1, ge=1)


class Numerics(Table):
    """How numbers are held.

    features:         what the int8 body reads. int8 where it stands alone behind a front end in C, and on NPUs; elsewhere the
                      first layer is faster in float
    weight_bits:      8, or 7 where u8 × s8 instructions would saturate (x86 without VNNI)
    channel_multiple: widths are rounded to this, so that no vector lane idles
    """

    weights: Literal["int8", "float32"] = "int8"
    features: Literal["float32", "int8"] = "float32"
    weight_bits: Literal[7, 8] = 8
    channel_multiple: int = Field(8, ge=1)


class Source(Table):
    """What the app's recorder gives; without this table, the recipe's own rate.

    sample_rate_hz: the files then take waveforms at this rate and resample them inside, so that the app need not
    """

    sample_rate_hz: int = Field(ge=4_000, le=192_000)


class Budget(Table):
    """What the model may cost on this target, whole: waveform to probabilities.

    latency_ms:  one clip. Checked as measured on host unless the device itself was measured
    peak_memory_mb: above the empty process; on a microcontroller of the tensor arena, which the device `mcu` estimates
    max_loss:    largest loss of accuracy against the teacher, as a share
    """

    latency_ms: float = Field(gt=0)
    model_bytes: int = Field(gt=0)
    peak_memory_mb: float = Field(gt=0)
    max_loss: float = Field(0.03, ge=0, le=1)


class Target(Table):
    """Where a model must run: hardware facts, runtime, numerics, budget."""

    name: str
    summary: str
    hardware: Hardware
    runtime: RuntimeTable = RuntimeTable()
    numerics: Numerics = Numerics()
    source: Source | None = None
    budget: Budget
    override: dict[str, dict[str, object]] = Field({})
    """Settings of passes that this target wants otherwise: [override.prune] keep = 0.4."""
    file: Path = Field(Path("target.toml"), exclude=True)


def read_target(name: str, folder: Path) -> Target:
    """Read a target by name from a folder of profiles, or by the path of its TOML file.

    raises: TargetError, with the nearest name where there is none
    """
    file = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not file.exists() and not name.endswith(".toml"):
        known = [p.stem for p in folder.glob("*.toml")]
        raise TargetError(f"unknown target {name!r}", where=folder, fix=nearest(name, known))
    target = checked(Target, read_toml(file, TargetError), file, TargetError)
    if target.name != file.stem:
        raise TargetError(
            f"name is {target.name!r} in a file called {file.name}", where=file, fix=f"name = {file.stem!r}"
        )
    return target

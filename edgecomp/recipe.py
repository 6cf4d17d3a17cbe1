"""Recipe: what to learn. Reads and checks one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edgecomp.errors import RecipeError
from edgecomp.form import Form
from edgecomp.tables import Table, checked, read_toml

PASS_TABLES = ("distil", "prune", "finetune", "quantise", "verify")


class Split(Table):
    """Which clips train, validate and test.

    column:     the manifest's column that says so; None: drawn by subject under the seed
    train …:    that column's values for each split
    fractions:  used without a column: shares of subjects (or of clips, where no subjects are known)
    """

    column: str | None = None
    train: list[str] = Field(["train"])
    validation: list[str] = Field(["validation", "val", "valid", "dev"])
    test: list[str] = Field(["test"])
    fractions: list[float] = Field([0.7, 0.15, 0.15], min_length=3, max_length=3)
    validation_from_train: float = Field(0.0, ge=0, lt=0.5)
    """Share of the training subjects to hold out where the column names no validation clips."""

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, value: list[float]) -> list[float]:
        if abs(sum(value) - 1) > 1e-6 or min(value) <= 0:
            raise ValueError("three positive shares that sum to 1")
        return value


class Resolve(Table):
    """What to do with faults that would otherwise stop the compile.

    conflicts:  equal audio under different labels. drop: leave out every copy
    duplicates: equal audio under one label. keep-one: keep the copy in the split seen last in training
                (test before validation before train), so nothing tested was trained on
    leaks:      one subject on two sides. keep-test: leave its clips out of the earlier splits
    unreadable: clips that do not decode, are empty or not finite
    silent:     clips without a sound
    unlabelled: clips with an empty label. teach: the student learns the teacher's answers to them; they only train
    """

    conflicts: Literal["error", "drop"] = "error"
    duplicates: Literal["error", "keep-one"] = "error"
    leaks: Literal["error", "keep-test"] = "error"
    unreadable: Literal["error", "drop"] = "error"
    silent: Literal["error", "drop", "keep"] = "error"
    unlabelled: Literal["error", "teach"] = "error"


class Data(Table):
    """Where the examples are and what their columns mean.

    path:       folder of the manifest, relative to the recipe; overridden by --data
    generator:  a Python file beside the recipe that writes the folder (instead of path)
    manifest:   CSV file in that folder, or "audiofolder" (one folder a label, as Hugging Face reads it)
    positive:   of two labels, the one to find; makes the task binary: AUROC, and a threshold from validation
    bins:       number columns to cut into groups, with the cut points
    fit:        which part of a clip longer than `seconds` is used
    """

    path: str | None = None
    generator: str | None = None
    manifest: str = "metadata.csv"
    path_column: str = "path"
    label_column: str = "label"
    labels: list[str] | None = None
    positive: str | None = None
    subject: str | None = None
    groups: list[str] = Field([])
    bins: dict[str, list[float]] = Field({})
    sample_rate: int = Field(16_000, ge=4_000, le=48_000)
    seconds: float = Field(1.0, gt=0.1, le=30)
    fit: Literal["loudest", "centre", "start"] = "loudest"
    source: str = "not stated"
    licence: str = "not stated"
    split: Split = Split()
    resolve: Resolve = Resolve()

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.path is None) == (self.generator is None):
            raise ValueError("give either path or generator")
        return self

    @property
    def samples(self) -> int:
        """Return the length of a model's input in samples."""
        return round(self.seconds * self.sample_rate)


class Training(Table):
    """How `edgecomp train` trains a torch teacher."""

    epochs: int = Field(30, ge=1)
    batch: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    label_smoothing: float = Field(0.05, ge=0, lt=1)


class TeacherTable(Table):
    """Whom to ask.

    kind:    a file in edgecomp/teachers/
    path:    torch: a Python file with build(); otherwise a model file, folder or hub name
    weights: torch: a safetensors file beside the recipe; trained into the build folder where absent
    head:    black boxes: fit a small head on the model's outputs (training split) for the recipe's labels
    window_s, hop_s: black boxes with a fixed input: how a longer clip is cut; outputs are averaged
    outputs_may_train: whether the teacher's licence lets its outputs train another model
    """

    kind: str = "torch"
    path: str = "teacher.py"
    weights: str | None = None
    head: bool = False
    window_s: float | None = None
    hop_s: float | None = None
    train: Training = Training()
    name: str | None = None
    licence: str = "not stated"
    outputs_may_train: Literal["yes", "no", "unknown"] = "unknown"


class FrontEndTable(Table):
    """The log-mel front end; what is left out comes from the sample rate's preset (students/front_end.py)."""

    mels: int | None = Field(None, ge=8, le=128)
    hop: int | None = Field(None, ge=16)
    window: int | None = Field(None, ge=32)
    low_hz: float | None = Field(None, ge=0)
    high_hz: float | None = Field(None, gt=0)


class StudentTable(Table):
    """The small net: a file in edgecomp/students/ and its widths."""

    family: str = "ds_cnn"
    widths: list[int] | None = None
    front_end: FrontEndTable = FrontEndTable()


class Augment(Table):
    """The seeded views of a training clip that teacher and student both see."""

    views: int = Field(4, ge=1, le=64)
    shift_s: float = Field(0.1, ge=0)
    gain_db: float = Field(6.0, ge=0)
    noise_snr_db: list[float] = Field([10.0, 40.0], min_length=2, max_length=2)
    noise_share: float = Field(0.5, ge=0, le=1)
    mix_share: float = Field(0.5, ge=0, le=1)
    speed: float = Field(0.0, ge=0, le=0.5)
    """Largest share by which a view is played faster or slower, its pitch with it: other voices for whom few spoke."""


class Gates(Table):
    """What fails a compile (exit code 3)."""

    max_loss: float = Field(0.03, ge=0, le=1)
    """Largest loss of accuracy (binary: AUROC) against the teacher on the test split, as a share."""
    sensitivity: float = Field(0.9, gt=0, lt=1)
    """Binary tasks: what the threshold must reach on the validation split (WHO 2014, triage test: 90 %)."""
    max_slice_loss: float = Field(0.03, gt=0, lt=1)
    """The audit's margin: a slice that loses more against the teacher, beyond chance, is lost and fails the compile."""
    allow_unclear: int | None = Field(None, ge=0)
    """How many slices may stay unclear (their interval spans the margin); left out: any number."""


class Deferral(Table):
    """When the small model leaves a clip to the teacher (a clinician, a server), and what a question costs."""

    max_risk: float = Field(0.05, gt=0, lt=1)
    """Largest share of wrong answers among those that it gives by itself, at the stated confidence."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    teacher_call_cost: float | None = Field(None, ge=0)
    """What one question to the teacher costs; with local_call_cost it makes the report's table of costs."""
    local_call_cost: float | None = Field(None, ge=0)
    compile_cost: float = Field(0.0, ge=0)
    currency: str = ""
    foreign: str | None = None
    """A folder of recordings that are none of the task's, such as another task's: does it ask about them?"""


class ReportTable(Table):
    """What the report may hold."""

    voices: bool = True
    """Whether the sounds of forgotten clips go into the report and the bundle; in a clinic they are patients' voices."""


class Recipe(Table):
    """What to learn: data, teacher, student, passes, gates; and what an app asks beside the recording."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    summary: str = ""
    seed: int = 0
    data: Data
    teacher: TeacherTable = TeacherTable()
    student: StudentTable = StudentTable()
    augment: Augment = Augment()
    gates: Gates = Gates()
    deferral: Deferral = Deferral()
    form: Form = Form()
    report: ReportTable = ReportTable()
    distil: dict[str, Any] = Field({})
    prune: dict[str, Any] = Field({})
    finetune: dict[str, Any] = Field({})
    quantise: dict[str, Any] = Field({})
    verify: dict[str, Any] = Field({})
    file: Path = Field(Path("recipe.toml"), exclude=True)

    @property
    def folder(self) -> Path:
        """Return the folder that relative paths in the recipe start from."""
        return self.file.parent

    def settings(self, table: str) -> dict[str, Any]:
        """Return what the recipe says of one pass, such as "prune"."""
        return dict(getattr(self, table))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file, or from the recipe.toml of a folder.

    raises: RecipeError with the key path and the values allowed
    """
    file = path / "recipe.toml" if path.is_dir() else path
    return checked(Recipe, read_toml(file, RecipeError), file, RecipeError)

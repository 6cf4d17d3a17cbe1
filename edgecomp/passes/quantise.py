"""Quantise: choose the int8 scales of the body, once for every file format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from edgecomp.artifact import Artifact, Step, content_hash
from edgecomp.passes import Run, name_of
from edgecomp.students.quantisation import Quantisation, Scale, fake, scale_for, simulate

if TYPE_CHECKING:
    from torch import Tensor

    from edgecomp.students.net import Weights

CLIPPED = (0.0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3)
"""Shares of a tensor's values that a range may leave out at either end."""
ESTIMATORS = {"min-max": CLIPPED[:1], "least squared error": CLIPPED}
"""Range estimators by the shares that they choose from, tensor by tensor."""
EQUALISED = (None, 0.3, 0.5)
"""How far channels are brought to one size first (students/equalisation.py); None: not at all."""
MOST_VALUES = 1 << 20
"""Values of one tensor that its squared error is judged by."""


@dataclass(frozen=True)
class Quantise:
    """Measure ranges on training clips and keep the way whose int8 answers are closest to float on validation.

    The first layer stays in float unless asked for: it reads one channel, which int8 kernels run slower than float ones, in
    both runtimes, and it holds few weights.

    weight_bits:     8, or 7 for processors whose byte products saturate
    features_in_int8: the first layer too, as microcontrollers and NPUs run it
    clips:           training clips that the ranges are measured on
    """

    takes: ClassVar[str] = "torch"
    gives: ClassVar[str | None] = "torch"
    weight_bits: int = 8
    features_in_int8: bool = False
    clips: int = 512

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        if self.weight_bits not in (7, 8):
            return f"weight_bits is {self.weight_bits}, and may be 7 or 8"
        return None if self.clips >= 1 else f"clips is {self.clips}, and must be 1 or more"

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        import numpy as np
        import torch

        from edgecomp.students.equalisation import equalised
        from edgecomp.students.layers import FEATURES
        from edgecomp.students.net import activations
        from edgecomp.students.student import load_student, save_student

        student = load_student(model.path)
        config, weights = student.config, student.body.folded()

        def normal(split: str) -> Tensor:
            return (
                torch.from_numpy(run.task.features(split, config.front_end)) - student.front_end.mean
            ) / student.front_end.std

        chosen = np.random.default_rng([run.seed, 9]).permutation(len(run.task.targets("train")))[: self.clips]
        clips, validation = normal("train")[torch.from_numpy(chosen)], normal("validation")
        wanted = torch.softmax(activations(config.layers, weights, validation)[config.layers[-1].name], 1)
        tried: dict[str, float] = {}
        found: dict[str, tuple[dict[str, Weights], Quantisation]] = {}
        seen = activations(config.layers, weights, clips)
        for share in EQUALISED:
            alike = weights if share is None else equalised(config.layers, weights, seen, share)
            held = activations(config.layers, alike, clips)
            for estimator, shares in ESTIMATORS.items():
                scales = {
                    tensor: _range(values, shares)
                    for tensor, values in held.items()
                    if self.features_in_int8 or tensor != FEATURES
                }
                name = estimator + ("" if share is None else f", channels equalised by {share}")
                found[name] = alike, Quantisation(scales, self.weight_bits)
                got = torch.softmax(simulate(config.layers, *found[name], validation), 1)
                tried[name] = (got - wanted).abs().mean().item()
        best = min(tried, key=tried.__getitem__)
        student.body.hold(found[best][0])
        folder = run.folder / "student"
        folder.mkdir()
        save_student(student, folder)
        (folder / "quantisation.json").write_text(found[best][1].to_json(), encoding="utf-8")
        facts = {"estimator": best, "mean_probability_difference_on_validation": tried}
        return model.followed_by(
            Step(name_of(self), asdict(self), facts, model.hash, content_hash(folder), run.seed), path=folder
        )


def _range(values: Tensor, shares: tuple[float, ...]) -> Scale:
    """Return the scale with the least squared error among those that leave some share of the values out at either end."""
    flat = values.flatten()
    ordered = flat[:: max(1, len(flat) // MOST_VALUES)].sort().values
    found = []
    for share in shares:
        cut = int(share * len(ordered))
        low, high = (ordered[cut], ordered[len(ordered) - 1 - cut]) if cut else (flat.min(), flat.max())
        scale = scale_for(low.item(), high.item())
        found.append(((fake(ordered, scale) - ordered).square().mean().item(), scale))
    return min(found, key=lambda pair: pair[0])[1]

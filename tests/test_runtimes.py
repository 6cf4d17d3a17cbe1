"""Every runtime keeps the contract: its file's name, a form, lowering, sessions, metadata, and clear errors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp.errors import BundleError, PlanError
from edgecomp.runtimes import Answer, import_runtime, runtime_for, runtimes
from edgecomp.students.student import freeze
from tests.small_students import lively_student, probabilities, sounds

torch.set_num_threads(1)
RUNTIMES = pytest.mark.parametrize("name", runtimes())


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder, model = tmp_path_factory.mktemp("models"), freeze(lively_student("ds_cnn"))
    made = {}
    for name in runtimes():
        made[name] = folder / f"modèle {name}{import_runtime(name).SUFFIX}"
        made[name].write_bytes(import_runtime(name).lower(model, {"edgecomp": '{"labels": ["ä"]}', "other": "x"}))
    return made


def test_a_runtime_is_a_file_and_no_two_share_a_form():
    assert set(runtimes()) >= {"litert", "ort"}
    forms = [import_runtime(name).FORM for name in runtimes()]
    assert len(set(forms)) == len(forms)
    assert all(import_runtime(name).SUFFIX.startswith(".") for name in runtimes())
    assert [runtime_for(form) for form in forms] == [import_runtime(name) for name in runtimes()]


@RUNTIMES
@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_turns_a_waveform_into_probabilities(name, threads, files):
    student, waves = lively_student("ds_cnn"), sounds(5, 4000, seed=4)
    ask = import_runtime(name).open_session(files[name], threads)
    answers = [ask(wave) for wave in waves]
    given = [answer.probabilities for answer in answers]
    assert all(a.shape == (3,) and a.dtype == np.float32 and abs(a.sum() - 1) < 1e-5 for a in given)
    assert np.abs(np.stack(given) - probabilities(student, waves)).max() < 1e-5  # earlier ones were not overwritten
    assert all(
        isinstance(a.uncertainty, float) and abs(a.uncertainty - 1 + a.probabilities.max()) < 1e-6 for a in answers
    )
    assert all(_same(ask(wave), answers[0]) for wave in (waves[0].astype(np.float64), waves[0]))


@RUNTIMES
def test_two_sessions_on_one_file_do_not_disturb_each_other(name, files):
    waves = sounds(2, 4000, seed=4)
    first, second = (import_runtime(name).open_session(files[name]) for _ in range(2))
    wanted = first(waves[0])
    second(waves[1])
    assert _same(first(waves[0]), wanted) and _same(second(waves[0]), wanted)


def _same(a: Answer, b: Answer) -> bool:
    return (a.probabilities == b.probabilities).all() and a.uncertainty == b.uncertainty


@RUNTIMES
def test_metadata_is_read_from_inside_the_file(name, files, tmp_path):
    module = import_runtime(name)
    assert module.read_metadata(files[name]) == '{"labels": ["ä"]}'
    bare = tmp_path / f"bare{module.SUFFIX}"
    bare.write_bytes(module.lower(freeze(lively_student("ds_cnn")), {}))
    assert module.read_metadata(bare) is None


@RUNTIMES
@pytest.mark.parametrize("damage", ["three quarters", "empty", "text", "noise", "missing"])
@pytest.mark.parametrize("what", ["open_session", "read_metadata"])
def test_a_damaged_file_is_a_clear_error(name, damage, what, files, tmp_path):
    module, whole = import_runtime(name), files[name].read_bytes()
    path = tmp_path / f"model{module.SUFFIX}"
    content = {
        "three quarters": whole[len(whole) // 4 :],
        "empty": b"",
        "text": b"no model at all" * 99,
        "noise": np.random.default_rng(0).bytes(5000),
    }
    if damage in content:
        path.write_bytes(content[damage])
    with pytest.raises(BundleError) as error:
        getattr(module, what)(path)
    assert error.value.where == str(path) and error.value.fix and error.value.exit_code == 2


def test_an_unknown_runtime_or_format_is_refused_with_the_nearest_name():
    with pytest.raises(PlanError) as error:
        import_runtime("lite-rt")
    assert str(error.value) == (
        "unknown runtime 'lite-rt'\n  where: [runtime] name\n"
        f"  fix:   did you mean 'litert'? allowed: {', '.join(runtimes())}"
    )
    with pytest.raises(PlanError, match="unknown format 'onx'"):
        runtime_for("onx")

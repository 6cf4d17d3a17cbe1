"""Targets: every profile keeps its promises, and every mistake in one is a message a person can act on."""

import re
from pathlib import Path

import pytest

from edgecomp.errors import TargetError
from edgecomp.shipped import shipped
from edgecomp.target import Target, read_target

FOLDER = shipped("targets")
NAMES = sorted(file.stem for file in FOLDER.glob("*.toml"))
GOOD = """name = "pixel"
summary = "a phone"
[hardware]
soc = "some chip"
isa = "aarch64"
ram_mb = 2048
sources = ["ram: a page [verified]"]
clusters = [{ core = "Cortex-A55", count = 4 }]
[budget]
latency_ms = 20
model_bytes = 500000
peak_memory_mb = 40
"""


def _refusal(folder: Path, text: str) -> TargetError:
    (folder / "pixel.toml").write_text(text)
    with pytest.raises(TargetError) as caught:
        read_target("pixel", folder)
    assert caught.value.exit_code == 2
    return caught.value


def test_the_field_devices_are_all_there():
    assert set(NAMES) >= {
        "redmi-7a",
        "galaxy-a05s",
        "redmi-note-9",
        "galaxy-tab-a7",
        "raspberry-pi-zero-2w",
        "raspberry-pi-4",
        "raspberry-pi-5",
        "x86-tablet",
        "host",
    }


@pytest.fixture(params=NAMES)
def target(request) -> Target:
    return read_target(request.param, FOLDER)


def test_a_profile_opens_with_one_human_sentence(target):
    first = target.file.read_text(encoding="utf-8").splitlines()[0]
    assert re.fullmatch(r"# [A-Z].{30,}\.", first)


def test_every_fact_says_whether_it_was_verified(target):
    assert target.hardware.sources
    for source in target.hardware.sources:
        assert re.search(r"\[(verified|unverified)\]$", source), source
        assert source.endswith("[unverified]") or "https://" in source, f"verified where? {source}"


def test_a_budget_fits_the_machine(target):
    budget, hardware = target.budget, target.hardware
    assert 1 <= budget.latency_ms <= 100
    assert 100_000 <= budget.model_bytes <= 5_000_000
    assert budget.peak_memory_mb <= hardware.ram_mb / 16
    assert 0 < budget.max_loss <= 0.05


def test_threads_are_no_more_than_the_first_cluster_has(target):
    assert target.runtime.threads <= min(2, target.hardware.clusters[0].count)


def test_weights_are_held_back_where_products_may_saturate(target):
    may_saturate = target.hardware.isa in ("x86_64", "any") and "avx512_vnni" not in target.hardware.features
    assert target.numerics.weight_bits == (7 if may_saturate else 8)


def test_dot_product_is_listed_where_every_core_has_it(target):
    every = all(cluster.dot_product for cluster in target.hardware.clusters)
    assert ("asimddp" in target.hardware.features) == every


def test_two_profiles_never_share_a_summary():
    summaries = [read_target(name, FOLDER).summary for name in NAMES]
    assert len(set(summaries)) == len(summaries)


def test_a_target_is_read_by_the_path_of_its_file(tmp_path):
    file = tmp_path / "pixel.toml"
    file.write_text(GOOD)
    assert read_target(str(file), FOLDER).name == "pixel"


def test_an_unknown_target_is_answered_with_the_nearest_name(tmp_path):
    (tmp_path / "pixel.toml").write_text(GOOD)
    (tmp_path / "tablet.toml").write_text(GOOD)
    with pytest.raises(TargetError) as caught:
        read_target("pixle", tmp_path)
    assert str(caught.value) == (
        f"unknown target 'pixle'\n  where: {tmp_path}\n  fix:   did you mean 'pixel'? allowed: pixel, tablet"
    )


def test_a_missing_file_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(TargetError) as caught:
        read_target(str(tmp_path / "none.toml"), FOLDER)
    assert "there is no none.toml" in str(caught.value)


def test_an_unknown_key_is_answered_with_its_path_and_the_allowed_ones(tmp_path):
    error = _refusal(tmp_path, GOOD.replace("latency_ms", "latencyms"))
    assert str(error) == (
        "unknown key 'latencyms'\n"
        f"  where: {tmp_path / 'pixel.toml'} [budget] latencyms\n"
        "  fix:   did you mean 'latency_ms'? allowed: latency_ms, max_loss, model_bytes, peak_memory_mb"
    )


def test_an_unknown_key_inside_a_list_of_tables_names_that_tables_keys(tmp_path):
    error = _refusal(tmp_path, GOOD.replace("count = 4", "count = 4, gzh = 2.0"))
    assert "[hardware.clusters.0] gzh" in error.where
    assert error.fix == "did you mean 'ghz'? allowed: core, count, dot_product, ghz"


@pytest.mark.parametrize(
    ("good", "bad", "what", "fix"),
    [
        ("ram_mb = 2048", 'ram_mb = "2 GB"', "hardware.ram_mb is '2 GB'", "a whole number"),
        ("latency_ms = 20", "latency_ms = -1", "budget.latency_ms is -1", "greater than 0"),
        (
            'isa = "aarch64"',
            'isa = "arm"',
            "hardware.isa is 'arm'",
            "allowed: aarch64, any, armv7, armv7e-m, armv8.1-m, x86_64, xtensa",
        ),
        ('summary = "a phone"', "summary = 3", "summary is 3", "text"),
    ],
)
def test_a_wrong_value_is_answered_with_itself_and_what_is_allowed(tmp_path, good, bad, what, fix):
    error = _refusal(tmp_path, GOOD.replace(good, bad))
    assert error.what == what
    assert fix in error.fix


def test_a_missing_key_is_named_with_its_table(tmp_path):
    error = _refusal(tmp_path, GOOD.replace("latency_ms = 20\n", ""))
    assert error.what == "missing key 'latency_ms'"
    assert error.where.endswith("pixel.toml [budget] latency_ms")


def test_a_name_that_is_not_the_files_own_is_refused(tmp_path):
    error = _refusal(tmp_path, GOOD.replace('name = "pixel"', 'name = "nexus"'))
    assert error.what == "name is 'nexus' in a file called pixel.toml"
    assert error.fix == "name = 'pixel'"


def test_the_users_file_cannot_set_where_it_lies(tmp_path):
    error = _refusal(tmp_path, 'file = "elsewhere.toml"\n' + GOOD)
    assert error.what == "unknown key 'file'"

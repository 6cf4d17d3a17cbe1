"""Code as data: files that recipes name, and the hash of edgecomp's own."""

import pytest

from edgecomp import code


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "__file__", str(tmp_path / "code.py"))
    code.code_hash.cache_clear()
    code._meaning.cache_clear()
    yield tmp_path
    code.code_hash.cache_clear()
    code._meaning.cache_clear()


def _hash(package, text: str) -> str:
    (package / "part.py").write_text(text)
    code.code_hash.cache_clear()
    code._meaning.cache_clear()
    return code.code_hash("part.py")


def test_layout_comments_and_docstrings_do_not_change_the_hash(package):
    first = _hash(package, 'def f(x):\n    """Add."""\n    return x + 1\n')
    assert first == _hash(package, "def f( x ):  # adds\n    return (x\n            + 1)\n")


def test_what_code_does_changes_the_hash(package):
    assert _hash(package, "def f(x):\n    return x + 1\n") != _hash(package, "def f(x):\n    return x + 2\n")


def test_a_changed_template_in_a_folder_changes_its_hash(package):
    (package / "pages").mkdir()
    (package / "pages" / "write.py").write_text("WIDTH = 1\n")
    found = set()
    for text in ("<p>one</p>", "<p>two</p>"):
        (package / "pages" / "page.html.j2").write_text(text)
        code.code_hash.cache_clear()
        code._meaning.cache_clear()
        found.add(code.code_hash("pages"))
    assert len(found) == 2


def test_a_file_may_define_dataclasses(tmp_path):
    file = tmp_path / "data.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\n"
    )
    assert code.load_code(file).A(3).n == 3


def test_a_missing_file_is_an_import_error(tmp_path):
    with pytest.raises(ImportError, match=r"gone\.py"):
        code.load_code(tmp_path / "gone.py")

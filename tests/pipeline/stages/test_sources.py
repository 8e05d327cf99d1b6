"""Which files count as a custom architecture's sources: by what they import, wherever they lie."""

import pytest

from recycle_pipeline.pipeline.stages.sources import source_files, sources_digest


@pytest.fixture
def write(tmp_path):
    """Writes files below `root`, by name; returns the root."""

    def files(root="project", **bodies):
        for name, body in bodies.items():
            path = tmp_path / root / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
        return tmp_path / root

    return files


def found(root, module):
    path = root.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return {path.relative_to(root).as_posix() for path in source_files(module, file)}


def test_imports_are_followed_however_they_are_spelled_and_wherever_they_stand(write):
    root = write(
        nets="import torch, a.b\nfrom c import d\ndef net():\n    if True:\n        from e import *\n",
        a__in____init__="",
        a__in__b="from .. import beyond\nfrom . import sibling\nfrom .deep.er import x\n",
        a__in__sibling="",
        a__in__deep__in__er="",  # deep has no __init__.py: a namespace package
        a__in__unused="",
        c__in____init__="",
        c__in__d="import nets\n",  # a circle
        e="",
        driver="from nets import net\n",
    )
    inside = {"a/__init__.py", "a/b.py", "a/sibling.py", "a/deep/er.py", "c/__init__.py", "c/d.py"}
    assert found(root, "nets") == {"nets.py", "e.py"} | inside


def test_the_packages_that_a_module_is_in_are_run_with_it_and_are_sources(write):
    root = write(p__in____init__="from p.q import late\n", p__in__q__in__net="", p__in__q__in__late="")
    assert found(root, "p.q.net") == {"p/__init__.py", "p/q/net.py", "p/q/late.py"}
    assert found(root, "p") == {"p/__init__.py", "p/q/late.py"}


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_beside_an_installed_module_only_its_own_package_counts(write, folder):
    root = write(
        folder,
        torch__in____init__="",
        nets__in____init__="import torch\nimport nets.blocks",
        nets__in__blocks="",
        single="import torch\n",
    )
    assert found(root, "nets") == {"nets/__init__.py", "nets/blocks.py"}
    assert found(root, "single") == {"single.py"}


@pytest.mark.parametrize("body", ["def (", "x = '\0'", "from ................................ import x\n"])
def test_text_that_is_no_python_counts_by_its_bytes(write, body):
    root = write(nets="import helper\n", helper=body)
    assert found(root, "nets") == {"nets.py", "helper.py"}


def test_a_namesake_of_the_folder_beside_it_is_no_source(write):
    write(".", project="")
    assert found(write(nets="from . import x\n"), "nets") == {"nets.py"}


def test_the_digest_depends_on_names_and_contents_and_not_on_the_place(write):
    def digest(root, **bodies):
        return sources_digest("nets", str(write(root, **bodies) / "nets.py"))

    first = digest("one", nets="import a, b\n", a="1\n", b="2\n")
    assert digest("two", nets="import a, b\n", a="1\n", b="2\n") == first
    assert digest("three", nets="import a, b\n", a="1\n2\n", b="") != first
    assert digest("four", nets="import a, b\n", a="2\n", b="1\n") != first


def test_a_module_without_a_file_has_no_sources():
    assert sources_digest("__main__", None) == sources_digest("other", None)

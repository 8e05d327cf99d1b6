"""The source files of a custom architecture, found by reading its imports, not by what happens to be loaded.

What is loaded depends on the process: a script that calls `run` is loaded too, and a module that the
builder imports when it is called is not loaded before. The text says the same in every process.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages")


def sources_digest(module: str, file: str | None) -> str:
    """SHA-256 over names and contents of `source_files`; the folder they lie in does not matter."""
    hasher = hashlib.sha256()
    if file is not None:
        root = _root(module, Path(file))
        for path in sorted(source_files(module, Path(file))):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            hasher.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return hasher.hexdigest()


def source_files(module: str, file: Path) -> set[Path]:
    """A module's file and, transitively, what it imports of the folder that its import starts from.

    Imports count wherever they stand, also within functions. Modules imported by a computed name, and
    those that lie elsewhere, are not found. Beside an installed module everything is installed: there
    only its own package counts.

    Args:
        module: dotted name.
        file: where it was loaded from.
    """
    root = _root(module, file)
    own = root / module.partition(".")[0]
    found: set[Path] = set()
    open_ends = {file, *_files_of(file.parent, root)}
    while open_ends:
        path = open_ends.pop()
        if not path.is_file():
            continue
        found.add(path)
        for target in _imported(path, root):
            if root.name not in INSTALLED or target.is_relative_to(own):
                open_ends |= _files_of(target, root) - found
    return found


def _root(module: str, file: Path) -> Path:
    """The folder on the import path: above a/b.py it is as many folders up as a.b has dots, plus one."""
    return file.parents[module.count(".") + (file.name == "__init__.py")]


def _imported(path: Path, root: Path) -> Iterator[Path]:
    """What a file's import statements name, as paths without a suffix, whether they exist or not."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # an extension module, or broken text: it counts by its bytes
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (root.joinpath(*alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level <= len(path.parents):
            base = path.parents[node.level - 1] if node.level else root
            base = base.joinpath(*(node.module or "").split("."))
            yield from (base, *(base / alias.name for alias in node.names))


def _files_of(target: Path, root: Path) -> set[Path]:
    """The files, of those within `root`, that importing `target` runs: its own and its packages'."""
    levels = [level for level in (target, *target.parents) if root in level.parents]
    modules = [level.with_name(f"{level.name}.py") for level in levels[:1]]
    return {path for path in (*modules, *(level / "__init__.py" for level in levels)) if path.is_file()}

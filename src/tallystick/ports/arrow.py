"""pyarrow without pandas."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used here", name=name)


def leave_pandas_alone() -> None:
    """Have pyarrow settle that pandas is not there, which it asks once, when it first makes an array. It would load all
    of pandas to tell its frames apart: a fifth of the start of a server, and tens of megabytes, and none are used."""
    nothing = _NoPandas()
    sys.meta_path.insert(0, nothing)
    try:
        pa.array([""])
    finally:
        sys.meta_path.remove(nothing)

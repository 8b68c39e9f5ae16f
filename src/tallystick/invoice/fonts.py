"""Where fonts for the invoice lie: those that come with the product, and those of the operator's directory."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

# Packages that hold fonts under the SIL Open Font License: Latin, Greek, Cyrillic and Devanagari; Arabic and Hebrew;
# Chinese, Japanese and Korean.
PACKAGES = ("fontpkg_noto_sans", "justmytype_intl_rtl", "noto_cjk_sans_otc")


def font_directories(own: Path | None = None) -> list[Path]:
    """The directories that fonts are looked for in, the operator's first."""
    found = [own] if own is not None and own.is_dir() else []
    for package in PACKAGES:
        spec = find_spec(package)  # finds it without running anything of it
        assert spec is not None, f"the package {package} is installed with the product"
        assert spec.submodule_search_locations is not None, f"{package} is a folder"
        found += [Path(place) for place in spec.submodule_search_locations]
    return found

"""pycma, which is not always installed; imported by nothing that is loaded early."""

from __future__ import annotations

try:
    import cma
except ModuleNotFoundError:
    raise ModuleNotFoundError("CMAES needs cma: pip install 'amphid[search]'") from None

__all__ = ["cma"]

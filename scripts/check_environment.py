"""Fail when the environment holds a package that must never come along with this one.

usage: python scripts/check_environment.py
"""

import sys
from importlib.metadata import distributions

FORBIDDEN = ("torchvision", "torchaudio", "triton", "nvidia-")


def main() -> int:
    names = sorted({dist.metadata["Name"].lower() for dist in distributions()})
    found = [name for name in names if name.startswith(FORBIDDEN)]
    if found:
        print(
            f"The environment holds {', '.join(found)}. Remove .venv and install torch==2.13.0 "
            "first, then the rest: something pulled in another build of torch.",
            file=sys.stderr,
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

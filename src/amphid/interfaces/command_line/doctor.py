"""`amphid doctor`: is everything here that a run needs?"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

from amphid.interfaces.command_line import output
from amphid.interfaces.command_line.parsing import add_global_options

CORE = ("torch", "numpy", "scipy", "h5py", "networkx", "pydantic", "rich")
EXTRAS = {
    "plot": ("matplotlib",),
    "search": ("optuna", "cma"),
    "nir": ("nir",),
    "onnx": ("onnxscript",),
    "neuroml": ("libneuroml",),
    "nwb": ("pynwb",),
    "bci": ("pylsl",),
    "parquet": ("pyarrow",),
    "notebook": ("anywidget",),
    "web": ("starlette", "uvicorn", "websockets"),
    "quantum": ("qiskit", "qiskit-aer"),
    "sklearn": ("scikit-learn",),
}
HEAVY = ("torchvision", "torchaudio")


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="check the installation",
        description="Versions, extras, devices and folders, and a short run of the worm.",
    )
    parser.set_defaults(parser=parser, run=run)
    add_global_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look, and report; 1 when a run would not work."""
    found: dict[str, Any] = {
        "versions": _versions(),
        "extras": _extras(),
        "devices": _devices(),
        "folders": _folders(),
        "not_needed": _not_needed(),
        "self_test": _self_test(arguments),
    }
    healthy = found["self_test"]["passed"] and None not in found["versions"].values()
    if arguments.json:
        output.document({"healthy": healthy, **found})
    else:
        _show(found, healthy=healthy)
    return 0 if healthy else 1


def _versions() -> dict[str, str | None]:
    import amphid

    here = {"amphid": amphid.__version__, "python": platform.python_version()}
    return here | {name: _version(name) for name in CORE}


def _extras() -> dict[str, dict[str, Any]]:
    return {
        extra: {
            "versions": {package: _version(package) for package in packages},
            "install": f"pip install 'amphid[{extra}]'",
        }
        for extra, packages in EXTRAS.items()
    }


def _devices() -> dict[str, Any]:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": names,
    }


def _folders() -> dict[str, Any]:
    from amphid.interfaces.data_sets import DATA_SETS, TASK_DATA
    from amphid.wiring.data import cache_folder

    cache, given = cache_folder(), os.environ.get("AMPHID_DATA")
    known = (*DATA_SETS.values(), *TASK_DATA.values())
    return {
        "cache": {"path": str(cache), "there": cache.is_dir(), "writable": _writable(cache)},
        "AMPHID_DATA": {"path": given, "there": bool(given) and Path(str(given)).is_dir()},
        "data_sets_here": [data.name for data in known if data.here()],
    }


def _not_needed() -> list[str]:
    """Large packages that amphid does not use."""
    installed = {str(package.name).lower() for package in importlib.metadata.distributions()}
    return sorted(name for name in installed if name in HEAVY or name.startswith("nvidia-"))


def _self_test(arguments: argparse.Namespace) -> dict[str, Any]:
    """Touch the worm for 20 ms: the touched cells must move, and nothing may grow without end."""
    started = time.perf_counter()
    try:
        change = _touch(arguments)
    except Exception as error:
        return {"passed": False, "why": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    seconds = round(time.perf_counter() - started, 3)
    return {"passed": 1.0 < change < 100.0, "change_mV": change, "seconds": seconds}


def _touch(arguments: argparse.Namespace) -> float:
    import torch

    from amphid import Network, dynamics, pulse, simulate, wiring
    from amphid.interfaces.command_line.options import ready
    from amphid.measures import response

    ready(arguments.device, arguments.threads)
    worm = wiring.celegans(signs=wiring.by_transmitter)
    network = Network(worm, neuron=dynamics.Graded(), synapse=dynamics.graded_synapses())
    touch = pulse(worm, "PLML", "PLMR", start=5.0, amplitude=20.0, duration=20.0, dt=0.5)
    with torch.no_grad():
        run = simulate(network.to(arguments.device), touch, record=("v",))
    return float(response(run["PLML"], 5.0).cpu())


def _show(found: dict[str, Any], *, healthy: bool) -> None:
    lines = {name: version or "MISSING" for name, version in found["versions"].items()}
    for extra, facts in found["extras"].items():
        missing = f"not installed: {facts['install']}"
        told = [f"{name} {version or missing}" for name, version in facts["versions"].items()]
        lines[f"extra {extra}"] = ", ".join(told)
    devices, folders = found["devices"], found["folders"]
    lines["machine"] = f"{devices['platform']}, {devices['processors']} processors"
    lines["devices"] = ", ".join([f"cpu with {devices['threads']} threads", *devices["cuda"]])
    cache, given = folders["cache"], folders["AMPHID_DATA"]
    state = "" if cache["there"] else ", not made yet"
    lines["cache"] = cache["path"] + (state if cache["writable"] else ", NOT WRITABLE")
    lines["AMPHID_DATA"] = (given["path"] or "not set") + (
        "" if given["there"] or not given["path"] else ", which is not there"
    )
    lines["data sets here"] = ", ".join(folders["data_sets_here"]) or "none"
    lines["not needed"] = ", ".join(found["not_needed"]) or "nothing large"
    test = found["self_test"]
    passed = f"passed: touched, PLML moves by {test.get('change_mV', 0):.1f} mV"
    failed = f"FAILED: {test.get('why') or 'the touched cell moved by an impossible amount'}"
    lines["self-test"] = passed if test["passed"] else failed
    output.facts(lines)
    print("all is well" if healthy else "something is missing: see above")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _writable(folder: Path) -> bool:
    """Whether it can be written to, or made."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(place, os.W_OK)

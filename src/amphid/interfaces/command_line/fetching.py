"""`amphid connectome fetch`: what is printed around a download."""

from __future__ import annotations

import argparse
import urllib.request
from dataclasses import asdict
from typing import Any

from amphid.interfaces.command_line import output
from amphid.interfaces.data_sets import (
    DATA_SETS,
    ELSEWHERE,
    TASK_DATA,
    DataSet,
    Fetched,
    FileSet,
    data_set,
    fetch,
)

opener: Any = urllib.request.urlopen
"""What opens an address; the tests put another one here."""


def run(arguments: argparse.Namespace) -> int:
    """Bring a data set here, unless it is."""
    data = data_set(arguments.name)
    here = data.here()
    if here and not (arguments.force or arguments.to):
        return _already(data, str(here), arguments)
    shown = not (arguments.quiet or arguments.json)
    with output.progress(f"fetching {data.name}", shown=shown) as advance:
        done = fetch(
            data,
            arguments.to,
            base=arguments.base,
            force=arguments.force,
            opener=opener,
            progress=(lambda _, got, of: advance(got, of)) if advance else None,
        )
    return _report(data, done, arguments)


def show_list(arguments: argparse.Namespace) -> int:
    """What can be fetched: files, sizes, checksums, licenses."""
    if arguments.json:
        output.document([_described(data) for data in (*DATA_SETS.values(), *TASK_DATA.values())])
        return 0
    rows = [
        [data.name, file.name, file.size, file.proof, file.url]
        for data in (*DATA_SETS.values(), *TASK_DATA.values())
        for file in data.files
    ]
    if output.on_terminal():
        for name, file, size, proof, address in rows:
            length = f", {size:,} bytes" if size else ""
            print(f"{name}: {file}{length}\n  {address}\n  {proof}")
    else:
        output.table(("name", "file", "bytes", "checked against", "address"), rows)
    for name, (address, reason) in ELSEWHERE.items():
        output.remark(f"not fetched: {name}, at {address}: {reason}", quiet=arguments.quiet)
    return 0


def _already(data: FileSet, folder: str, arguments: argparse.Namespace) -> int:
    if arguments.json:
        output.document({**_described(data), "folder": folder, "downloaded": False})
    else:
        print(f"{data.name} is here already, in {folder}")
        _credits(data)
    return 0


def _report(data: FileSet, done: list[Fetched], arguments: argparse.Namespace) -> int:
    if arguments.json:
        fetched = [asdict(file) for file in done]
        output.document({**_described(data), "files": fetched, "downloaded": True})
        return 0
    for file in done:
        what = "fetched" if file.downloaded else "was there"
        print(f"{what} {file.path} ({file.bytes:,} bytes, checked against {file.checked_against})")
    _credits(data)
    if isinstance(data, DataSet):
        print(f"try      amphid connectome info {data.name}")
    elif data.study:
        print(f"try      amphid study {data.study}")
    return 0


def _credits(data: FileSet) -> None:
    print(f"license  {data.license}")
    print(f"cite     {data.citation}")


def _described(data: FileSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "title": data.title,
        "files": [asdict(file) for file in data.files],
        "license": data.license,
        "citation": data.citation,
    }

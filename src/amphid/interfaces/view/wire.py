"""What a page is sent: the network once, then a frame of bytes for each picture.

A frame, little-endian: magic u32, number u32, time f64 (ms), speed f32, food at the nose f32, flags
u16, watched cells W u16, samples K u32, cells N u32, actions so far u32; then the change of each
cell from its rest f16 [N], its marks u8 [N], zeros up to a multiple of 4, the watched cells u32 [W]
and their level in each step since the last frame f32 [W, K], and the body f32: dorsal and ventral
ends of the rods [R, 4], um, and activation of the muscles of each segment [2, S].
"""

from __future__ import annotations

import struct
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from amphid.interfaces.placement import place
from amphid.interfaces.report_data import CONNECTIONS, packed, packed_connections, packed_place
from amphid.interfaces.view.session import Session
from amphid.wiring import Connectome

PROTOCOL = 1
MAGIC = 0x31464D41  # "AMF1"
HEADER = struct.Struct("<IIdffHHIII")
PLAYING, RECORDING, CRAWLING, FULL = 1, 2, 4, 8
FIRED, DEAD, DRIVEN = 1, 2, 4
WHOLE = 20_000  # cells up to which the connections travel with the network

Floats = NDArray[np.float32]


def frame(
    session: Session,
    *,
    number: int = 0,
    speed: float = 0.0,
    flags: int = 0,
    fired: NDArray[np.bool_] | None = None,
    watched: tuple[int, ...] = (),
    samples: Floats | None = None,
) -> bytes:
    """One picture of a session; fired: since the last one. samples: [K, W] of the watched cells."""
    worm = session.worm
    samples = np.zeros((0, len(watched)), np.float32) if samples is None else samples
    flags |= CRAWLING if worm is not None and worm.circuit is not None else 0
    head = HEADER.pack(
        MAGIC,
        number,
        session.time,
        speed,
        worm.concentration() if worm is not None else 0.0,
        flags,
        len(watched),
        len(samples),
        len(session),
        len(session.log),
    )
    change = (session.life.level - session.rest).to(torch.float16).numpy()
    marks = _marks(session, fired)
    parts = [head, change.tobytes(), marks.tobytes()]
    parts.append(bytes(-sum(map(len, parts)) % 4))
    parts += [np.array(watched, "<u4").tobytes(), samples.T.astype("<f4").tobytes()]
    parts.append(_body(session))
    return b"".join(parts)


def fired_too(picture: bytes, before: bytes, cells: int) -> bytes:
    """A picture in which those cells fired, too, that did in the one before it."""
    at = HEADER.size + 2 * cells
    marks = np.frombuffer(picture, np.uint8, cells, at)
    earlier = np.frombuffer(before, np.uint8, cells, at) & FIRED
    return picture[:at] + (marks | earlier).tobytes() + picture[at + cells :]


def network(session: Session, *, title: str, live: bool = True) -> dict[str, Any]:
    """Everything that stays: cells and their places, connections, units, what a body is."""
    connectome, life = session.connectome, session.life
    cells = connectome.cells
    return {
        "protocol": PROTOCOL,
        "title": title,
        "live": live,
        "cells": {
            column: [str(text) for text in getattr(cells, column)]
            for column in ("name", "kind", "cell_class", "transmitter")
        },
        "place": packed_place(place(cells)),
        "rest": packed(session.rest.float().numpy(), "<f4"),
        "connections": packed_connections(connectome) if _carried(connectome) else None,
        "total": {
            "chemical": int(connectome.connections.chemical.sum()),
            "electrical": int(connectome.connections.electrical.sum()),
        },
        "dt": session.dt,
        "seed": session.seed,
        "note": life.note,
        "shows": {"name": life.shows[0], "unit": life.shows[1], "spikes": life.spikes},
        "worm": _worm(session),
        "references": list(connectome.references),
    }


def links(connectome: Connectome, cell: int, most: int = 300) -> list[dict[str, Any]]:
    """The connections of one cell, largest first."""
    wires = connectome.connections
    mine = np.flatnonzero((wires.pre == cell) | (wires.post == cell))
    mine = mine[np.argsort(-wires.synapses[mine], kind="stable")][:most]
    return [
        {
            "other": int(wires.post[k] if wires.pre[k] == cell else wires.pre[k]),
            "out": bool(wires.pre[k] == cell),
            "sign": int(wires.sign[k]),
            "electrical": bool(wires.electrical[k]),
            "synapses": float(wires.synapses[k]),
        }
        for k in mine
    ]


def _carried(connectome: Connectome) -> bool:
    few = len(connectome.connections) <= CONNECTIONS
    return len(connectome) <= WHOLE and few


def _marks(session: Session, fired: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    marks = np.zeros(len(session), np.uint8)
    if fired is not None:
        marks[fired] |= FIRED
    marks[list(session.dead)] |= DEAD
    marks[list(session.driven)] |= DRIVEN
    return marks


def _worm(session: Session) -> dict[str, Any] | None:
    worm = session.worm
    if worm is None:
        return None
    return asdict(worm.build)


def _body(session: Session) -> bytes:
    worm = session.worm
    if worm is None:
        return b""
    dorsal, ventral = worm.ends()
    food = worm.food or (np.nan, np.nan)
    parts = (np.concatenate((dorsal, ventral), 1), np.maximum(worm.activation, 0.0), food)
    return b"".join(np.asarray(part).astype("<f4").tobytes() for part in parts)

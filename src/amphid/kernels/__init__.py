"""Turn a step written in tensors into machine code.

A step is run once on examples while a tape records its operations on them. They are elementwise,
so the same list, written with scalars, is the body of a loop over cells. Steps and sequences of
them become LLVM's assembly, whole simulations are compiled by numba, and what runs on a device by
Triton; each is imported when the first kernel of its kind is made, not before.
"""

from amphid.kernels.affine import Affine, AffineStep, Condition, NotAffine, affine_near
from amphid.kernels.apart import APART
from amphid.kernels.chain import Cells, Chain, Events, Given, Stage, events
from amphid.kernels.chain_gradient import ChainGradient
from amphid.kernels.coupled import Coupled
from amphid.kernels.kernel import Kernel, compile_step
from amphid.kernels.known import with_known
from amphid.kernels.lanes import Lanes
from amphid.kernels.leaking import leaking_sum
from amphid.kernels.machine_code import cache_folder, compile_source
from amphid.kernels.mapped import copy_by_copy, draws_alike, is_mapped, over_copies
from amphid.kernels.object_code import ObjectCode
from amphid.kernels.program import LoopSource, write_function, write_loop
from amphid.kernels.projection import project
from amphid.kernels.scan import Compiled, Scan, plain_scan
from amphid.kernels.shapes import common_shape
from amphid.kernels.tape import Symbol, Traced, UnknownOperation, trace, with_values
from amphid.kernels.traffic import Traffic
from amphid.kernels.triton_loop import TritonLoop
from amphid.kernels.watched import is_watched, step_by_step

__all__ = [
    "APART",
    "Affine",
    "AffineStep",
    "Cells",
    "Chain",
    "ChainGradient",
    "Compiled",
    "Condition",
    "Coupled",
    "Events",
    "Given",
    "Kernel",
    "Lanes",
    "LoopSource",
    "NotAffine",
    "ObjectCode",
    "Scan",
    "Stage",
    "Symbol",
    "Traced",
    "Traffic",
    "TritonLoop",
    "UnknownOperation",
    "affine_near",
    "cache_folder",
    "common_shape",
    "compile_source",
    "compile_step",
    "copy_by_copy",
    "draws_alike",
    "events",
    "is_mapped",
    "is_watched",
    "leaking_sum",
    "over_copies",
    "plain_scan",
    "project",
    "step_by_step",
    "trace",
    "with_known",
    "with_values",
    "write_function",
    "write_loop",
]

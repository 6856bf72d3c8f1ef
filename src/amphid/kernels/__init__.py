"""Turn a step written in tensors into machine code, and its adjoint with it.

Nothing stands here yet: the torch engine of `amphid.simulation` runs every `step` as it is written.
"""

"""A promise to the compiler that arrays do not overlap, as source to put before what makes it."""

APART = '''
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def apart(typing):
    """Promise that the arrays of this function do not overlap; ask for the widest registers."""

    def generate(context, builder, signature, arguments):
        function = builder.function
        set.add(function.attributes, '"prefer-vector-width"="512"')
        for given in function.args[2:]:
            kind = given.type
            if isinstance(kind, ir.PointerType) and kind.pointee != ir.IntType(8):
                given.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), generate
'''
"""Source of `apart()`, to be called first in a function."""

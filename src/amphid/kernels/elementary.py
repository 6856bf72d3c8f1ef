"""Elementary functions of one number, without branches, so that loops over them vectorize.

This text is placed at the head of every generated module and compiled there. Constants are written
for both types of numbers, because a mixture of them would be computed in the wider type. Errors are
about one unit in the last place; results below the smallest normal number are zero, and hyperbolic
functions overflow where the exponential does.
"""

from typing import Any

import numpy as np

f4, f8, i4, i8 = np.float32, np.float64, np.int32, np.int64


def exp_f8(x: Any) -> Any:
    """e to the x."""
    y = 709.8 if x > 709.8 else x
    y = -708.0 if y < -708.0 else y
    shifted = y * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    r = (y - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    p = 1.0 + r * (1.0 + r * _exp_tail_f8(r))
    exponent = np.float64(shifted).view(np.int64) + i8(1022)
    scale = np.int64(exponent << i8(52)).view(np.float64)
    return 0.0 if x < -708.0 else (p * scale) * 2.0


def _exp_tail_f8(r: Any) -> Any:
    """(e^r - 1 - r) / r^2 for |r| < 0.35."""
    s = r * r
    q = s * s
    a = (0.5 + r * (1.0 / 6.0)) + s * ((1.0 / 24.0) + r * (1.0 / 120.0))
    b = ((1.0 / 720.0) + r * (1.0 / 5040.0)) + s * ((1.0 / 40320.0) + r * (1.0 / 362880.0))
    c = ((1.0 / 3628800.0) + r * (1.0 / 39916800.0)) + s * (
        (1.0 / 479001600.0) + r * (1.0 / 6227020800.0)
    )
    return a + q * (b + q * c)


def expm1_f8(x: Any) -> Any:
    """e to the x, less one; exact near zero."""
    y = 709.8 if x > 709.8 else x
    y = -50.0 if y < -50.0 else y
    shifted = y * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    r = (y - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    p = r + r * r * _exp_tail_f8(r)
    exponent = np.float64(shifted).view(np.int64) + i8(1022)
    scale = np.int64(exponent << i8(52)).view(np.float64)
    return 2.0 * (p * scale + (scale - 0.5))


def sigmoid_f8(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + exp_f8(-x))


def tanh_f8(x: Any) -> Any:
    """Hyperbolic tangent."""
    t = expm1_f8(-2.0 * abs(x))
    y = -t / (t + 2.0)
    return -y if x < 0.0 else y


def cosh_f8(x: Any) -> Any:
    """Hyperbolic cosine."""
    e = exp_f8(abs(x))
    return 0.5 * e + 0.5 / e


def sinh_f8(x: Any) -> Any:
    """Hyperbolic sine."""
    t = expm1_f8(abs(x))
    small = 1e17 if t > 1e17 else t
    y = 0.5 * t + 0.5 * (small / (small + 1.0))
    return -y if x < 0.0 else y


def exp_f4(x: Any) -> Any:
    """e to the x."""
    y = f4(88.8) if x > f4(88.8) else x
    shifted = y * f4(1.44269504) + f4(12582912.0)
    n = shifted - f4(12582912.0)
    r = (y - n * f4(0.693359375)) - n * f4(-2.12194440e-4)
    s = r * r
    p = (f4(2.0) + f4(2.0) * r) + s * (f4(2.0) * _exp_tail_f4(r, s))
    exponent = np.float32(shifted).view(np.int32) + i4(126)
    scale = np.int32(exponent << i4(23)).view(np.float32)
    return f4(0.0) if x < f4(-87.0) else p * scale


def _exp_tail_f4(r: Any, s: Any) -> Any:
    """(e^r - 1 - r) / r^2 for |r| < 0.35 and s = r^2, by a minimax polynomial."""
    a = f4(0.49999994) + r * f4(0.1666652)
    b = f4(0.0416684) + r * f4(0.008368856)
    return a + s * (b + s * f4(0.0013814312))


def expm1_f4(x: Any) -> Any:
    """e to the x, less one; exact near zero."""
    y = f4(88.8) if x > f4(88.8) else x
    y = f4(-25.0) if y < f4(-25.0) else y
    shifted = y * f4(1.44269504) + f4(12582912.0)
    n = shifted - f4(12582912.0)
    r = (y - n * f4(0.693359375)) - n * f4(-2.12194440e-4)
    p = r + r * r * _exp_tail_f4(r, r * r)
    exponent = np.float32(shifted).view(np.int32) + i4(126)
    scale = np.int32(exponent << i4(23)).view(np.float32)
    return f4(2.0) * (p * scale + (scale - f4(0.5)))


def sigmoid_f4(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    return f4(1.0) / (f4(1.0) + exp_f4(-x))


def tanh_f4(x: Any) -> Any:
    """Hyperbolic tangent."""
    t = expm1_f4(f4(-2.0) * abs(x))
    y = -t / (t + f4(2.0))
    return -y if x < f4(0.0) else y


def cosh_f4(x: Any) -> Any:
    """Hyperbolic cosine."""
    e = exp_f4(abs(x))
    return f4(0.5) * e + f4(0.5) / e


def sinh_f4(x: Any) -> Any:
    """Hyperbolic sine."""
    t = expm1_f4(abs(x))
    small = f4(1e9) if t > f4(1e9) else t
    y = f4(0.5) * t + f4(0.5) * (small / (small + f4(1.0)))
    return -y if x < f4(0.0) else y

"""The order in which a model's products are summed.

Owns the switch of Intel's MKL, by which torch multiplies on x86 processors.
"""

from __future__ import annotations

import os


def fix_summation_order() -> None:
    """Make MKL's products equal to the last bit at any number of threads.

    Notes
    -----
    By default MKL splits a product by the number of threads, and on processors without AVX-512 each
    split sums in another order. The strict mode of its "conditional numerical reproducibility" sums in
    the same order, at no measurable cost. MKL reads the switch at the first product of a process, so
    this must run before. A value that the user has set is kept. Other libraries (OpenBLAS, Accelerate,
    cuBLAS) have no such switch.

    References
    ----------
    Intel oneMKL Developer Guide, "Obtaining Numerically Reproducible Results".
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

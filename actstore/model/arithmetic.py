"""The order in which a model's products are summed.

Owns the switch of Intel's MKL, by which torch multiplies on x86 processors.
"""

from __future__ import annotations

import os


def fix_summation_order() -> None:
    """Let MKL's products have the same last bits at any number of threads.

    Notes
    -----
    Its default cuts a product by the number of threads, and on many processors (not on those with
    AVX-512) each cut sums in another order. The strict mode of its "conditional numerical
    reproducibility" does not; it costs nothing that can be measured here. MKL reads the switch at
    its first product in a process, so this comes before it, and a setting of the user's stays. Other
    libraries (OpenBLAS, Accelerate, cuBLAS) have no such switch.

    References
    ----------
    Intel oneMKL Developer Guide, "Obtaining Numerically Reproducible Results".
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

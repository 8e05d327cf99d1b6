"""Ternary convolutions by compiled kernels: a part of the 8-bit model as one operator of ONNX Runtime.

A session that runs such a model registers the library first:

    options.register_custom_ops_library(str(library_path()))
"""

from recycle_pipeline.models.kernel_library import library_path

__all__ = ["library_path"]

"""What the kernels of convolutions, poolings and dense layers have in common."""

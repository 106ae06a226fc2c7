"""Finds the sequence of optimizations that puts a neural network on a microcontroller best."""

__version__ = "0.1.0"

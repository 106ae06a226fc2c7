"""The version, which recipes and generated files state; it imports nothing."""

__version__ = "0.1.0"

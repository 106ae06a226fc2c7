"""Lowerings to a FlatBuffer, and components that rewrite its graph.

A file whose name begins with an underscore helps its neighbours and is no component.
"""

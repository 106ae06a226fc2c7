"""Components that rewrite a frozen inference graph.

A file whose name begins with an underscore helps its neighbours and is no component.
"""

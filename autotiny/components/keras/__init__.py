"""Components that change a trainable Keras model.

A file whose name begins with an underscore helps its neighbours and is no component.
"""

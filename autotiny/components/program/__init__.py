"""Components that change the schedule: how each op is computed, and where things lie.

A file whose name begins with an underscore helps its neighbours and is no component.
"""

"""A module that is no method: it lacks what one must offer."""

Config = dict

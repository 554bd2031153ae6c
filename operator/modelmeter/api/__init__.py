"""The three resources of group modelmeter.dev as pydantic models; crds/*.yaml are generated from them.

This package knows names, fields, units and validation. It does no I/O and imports nothing above it.
"""

"""The viewer: Slicer's scene and segment editor behind a page in a browser, with the controller of the effect.

Imports point one way: application -> actions -> page, view_state, views, tools, workspace -> files.
"""

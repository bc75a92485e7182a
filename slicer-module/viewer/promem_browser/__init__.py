"""The viewer: Slicer's scene and segment editor behind a page in a browser, with the effect's own controller.

Dependencies point one way: application -> page, board, views, tools, workspace -> files. None of them knows of a later one.
"""

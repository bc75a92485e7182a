"""A stand-in for the part of Slicer that no package has: PythonQt, the Segment Editor's widget, slice views and a
mouse.

Under it are the real MRML scene and the real vtkSlicerSegmentEditorLogic. `stand_in` is the module `qt`, which is
there as soon as this package is imported; `host` is what calls an effect; `slicer_app` is a Segment Editor with the
effect in it.
"""

from . import stand_in

stand_in.install()

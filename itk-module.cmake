# What ITK's build has to know of this repository as a module, in Modules/Remote of its sources or outside of them
# (docs/packages.md).
set(DOCUMENTATION "Segments objects in 3D CT and MR images from prompts on a few slices
(itk::ProMemSegmentationImageFilter). The C library that does the work needs libtorch.")

itk_module(ProMem
  DEPENDS
    ITKCommon
  EXCLUDE_FROM_DEFAULT
  DESCRIPTION
    "${DOCUMENTATION}")

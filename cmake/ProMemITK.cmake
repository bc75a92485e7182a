# ProMem::itk (itkProMemSegmentationImageFilter.h), from an ITK that was found.
if(NOT TARGET ProMem::itk)
  add_library(ProMem::itk INTERFACE IMPORTED GLOBAL)
  set_target_properties(ProMem::itk PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${ITK_INCLUDE_DIRS}"
    INTERFACE_LINK_LIBRARIES "ProMem::cpp;ITKCommon")
endif()

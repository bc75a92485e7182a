// Every member of the filter, for pixels of several kinds: compiled with warnings as errors, not run.

#include "itkProMemSegmentationImageFilter.h"

template class itk::ProMemSegmentationImageFilter<itk::Image<short, 3>, itk::Image<unsigned short, 3>>;
template class itk::ProMemSegmentationImageFilter<itk::Image<float, 3>, itk::Image<unsigned char, 3>>;
template class itk::ProMemSegmentationImageFilter<itk::Image<double, 3>, itk::Image<int, 3>>;

#ifndef itkProMemSegmentationImageFilter_hxx
#define itkProMemSegmentationImageFilter_hxx

#include "itkProMemSegmentationImageFilter.h"

#include <map>

namespace itk
{
template <typename TInputImage, typename TLabelImage>
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ProMemSegmentationImageFilter()
{
  this->AddOptionalInputName("PromptLabelImage");
}

template <typename TInputImage, typename TLabelImage>
std::uint32_t
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ObjectOf(LabelPixelType label) const
{
  using PrintType = typename NumericTraits<LabelPixelType>::PrintType;
  if (label < 1 || static_cast<std::uint64_t>(label) > 65535)
  {
    itkExceptionMacro("label " << static_cast<PrintType>(label) << ": expected 1 to 65535");
  }
  return static_cast<std::uint32_t>(label);
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddPoint(const PointType & point, bool positive, LabelPixelType label)
{
  m_Points.push_back({ point, positive, this->ObjectOf(label) });
  this->Modified();
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddRegion(const RegionType & region, LabelPixelType label)
{
  m_Regions.push_back({ region, this->ObjectOf(label) });
  this->Modified();
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ClearPrompts()
{
  m_Points.clear();
  m_Regions.clear();
  this->Modified();
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::SetSliceRange(IndexValueType first, IndexValueType last)
{
  m_SliceRange.emplace(first, last);
  this->Modified();
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ClearSliceRange()
{
  m_SliceRange.reset();
  this->Modified();
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::SetMemoryWindows(const MemoryWindowsType & windows)
{
  if (m_MemoryWindows != windows)
  {
    m_MemoryWindows = windows;
    this->Modified();
  }
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::GenerateInputRequestedRegion()
{
  Superclass::GenerateInputRequestedRegion();
  for (const auto & name : this->GetInputNames())
  {
    if (DataObject * const input = this->ProcessObject::GetInput(name))
    {
      input->SetRequestedRegionToLargestPossibleRegion();
    }
  }
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::EnlargeOutputRequestedRegion(DataObject * output)
{
  Superclass::EnlargeOutputRequestedRegion(output);
  output->SetRequestedRegionToLargestPossibleRegion();
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::VerifyInputInformation() ITKv5_CONST
{
  Superclass::VerifyInputInformation();
  const RegionType image = this->GetInput()->GetLargestPossibleRegion();
  if (const LabelImageType * const prompts = this->GetPromptLabelImage())
  {
    const RegionType region = prompts->GetLargestPossibleRegion();
    if (region != image)
    {
      itkExceptionMacro("prompt label image: found index " << region.GetIndex() << " and size " << region.GetSize() << ", expected the image's "
                                                           << image.GetIndex() << " and " << image.GetSize());
    }
  }
}

template <typename TInputImage, typename TLabelImage>
promem::Volume
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::MakeVolume(const InputImageType * image)
{
  const RegionType region = image->GetLargestPossibleRegion();
  const auto       size = region.GetSize();
  const auto       spacing = image->GetSpacing();
  const auto       direction = image->GetDirection();
  PointType        first;
  image->TransformIndexToPhysicalPoint(region.GetIndex(), first);

  promem::Matrix ijkToLPS{};
  for (unsigned int row = 0; row < 3; ++row)
  {
    for (unsigned int column = 0; column < 3; ++column)
    {
      ijkToLPS[row][column] = direction[row][column] * spacing[column];
    }
    ijkToLPS[row][3] = first[row];
  }

  // The buffer may be larger than the region.
  promem::Index strides;
  for (unsigned int axis = 0; axis < 3; ++axis)
  {
    strides[axis] = image->GetOffsetTable()[axis] * static_cast<std::int64_t>(sizeof(InputPixelType));
  }
  const InputPixelType * const voxels = image->GetBufferPointer() + image->ComputeOffset(region.GetIndex());
  return promem::Volume(voxels, { size[0], size[1], size[2] }).strides(strides).ijk_to_lps(ijkToLPS);
}

template <typename TInputImage, typename TLabelImage>
promem::Index
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ToLibrary(const IndexType & index) const
{
  const IndexType first = this->GetInput()->GetLargestPossibleRegion().GetIndex();
  return { index[0] - first[0], index[1] - first[1], index[2] - first[2] };
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::LoadModel()
{
  const std::array<std::string, 3> wanted{ { m_ModelPath, m_Device, m_Precision } };
  if (!m_Model || m_Loaded != wanted)
  {
    m_Model.reset();
    promem::ModelOptions options;
    options.device = m_Device;
    options.precision = m_Precision;
    m_Model.emplace(m_ModelPath, options);
    m_Loaded = wanted;
  }
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddPrompts(promem::Session & session) const
{
  const InputImageType * const image = this->GetInput();
  for (const PointPrompt & prompt : m_Points)
  {
    IndexType index;
    if (!image->TransformPhysicalPointToIndex(prompt.point, index))
    {
      itkExceptionMacro("point " << prompt.point << ": expected a point inside the image; it lies at index " << index << " of "
                                 << image->GetLargestPossibleRegion().GetSize());
    }
    session.add_point(prompt.object, this->ToLibrary(index), prompt.positive);
  }
  for (const RegionPrompt & prompt : m_Regions)
  {
    if (prompt.region.GetNumberOfPixels() == 0)
    {
      itkExceptionMacro("region of size " << prompt.region.GetSize() << ": expected at least one voxel");
    }
    session.add_box(prompt.object, this->ToLibrary(prompt.region.GetIndex()), this->ToLibrary(prompt.region.GetUpperIndex()));
  }
  if (this->GetPromptLabelImage() != nullptr)
  {
    this->AddLabelImage(session);
  }
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddLabelImage(promem::Session & session) const
{
  const LabelImageType * const prompts = this->GetPromptLabelImage();
  const RegionType             region = prompts->GetLargestPossibleRegion();
  const promem::Slices         slices = session.slices();
  const auto                   across = static_cast<unsigned int>(slices.axis) - 1;
  // A slice's columns and rows are the two other axes in rising order.
  const unsigned int columns = across == 0 ? 1 : 0;
  const unsigned int rows = across == 2 ? 1 : 2;
  const auto         labelAt = [&](std::int64_t slice, std::uint64_t row, std::uint64_t column) {
    IndexType index = region.GetIndex();
    index[across] += slice;
    index[rows] += static_cast<IndexValueType>(row);
    index[columns] += static_cast<IndexValueType>(column);
    return prompts->GetPixel(index);
  };

  // The slices on which each label occurs, rising.
  std::map<LabelPixelType, std::vector<std::int64_t>> extents;
  for (std::int64_t slice = 0; slice < static_cast<std::int64_t>(slices.count); ++slice)
  {
    for (std::uint64_t row = 0; row < slices.rows; ++row)
    {
      for (std::uint64_t column = 0; column < slices.columns; ++column)
      {
        const LabelPixelType label = labelAt(slice, row, column);
        if (label != 0)
        {
          auto & found = extents[label];
          if (found.empty() || found.back() != slice)
          {
            found.push_back(slice);
          }
        }
      }
    }
  }
  if (extents.empty())
  {
    itkExceptionMacro("prompt label image: it holds no label");
  }

  for (auto & [label, found] : extents)
  {
    if (m_PromptSlices == PromptSlicesEnum::Middle)
    {
      const std::int64_t middle = (found.front() + found.back()) / 2;
      const auto         nearer = [middle](std::int64_t a, std::int64_t b) { return std::abs(a - middle) < std::abs(b - middle); };
      found = { *std::min_element(found.begin(), found.end(), nearer) };
    }
    for (const std::int64_t slice : found)
    {
      std::vector<std::uint8_t> mask;
      mask.reserve(slices.rows * slices.columns);
      for (std::uint64_t row = 0; row < slices.rows; ++row)
      {
        for (std::uint64_t column = 0; column < slices.columns; ++column)
        {
          mask.push_back(labelAt(slice, row, column) == label);
        }
      }
      session.add_mask(this->ObjectOf(label), slice, mask);
    }
  }
}

template <typename TInputImage, typename TLabelImage>
promem::PropagateOptions
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::MakeOptions(const promem::Slices & slices) const
{
  promem::PropagateOptions options;
  options.direction = m_PropagationDirection;
  options.never_stop = !m_StopWhenAbsent;
  options.windows = m_MemoryWindows;
  options.beams = m_Beams;
  options.presence_threshold = m_PresenceThreshold;
  if (m_SliceRange)
  {
    const IndexValueType first = this->GetInput()->GetLargestPossibleRegion().GetIndex(static_cast<unsigned int>(slices.axis) - 1);
    options.range.emplace(m_SliceRange->first - first, m_SliceRange->second - first);
  }
  return options;
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ReadLabels(const promem::Session & session)
{
  LabelImageType * const output = this->GetOutput();
  const std::size_t      count = output->GetBufferedRegion().GetNumberOfPixels();
  if constexpr (std::is_same<LabelPixelType, std::uint16_t>::value)
  {
    session.read_labels(output->GetBufferPointer(), count);
  }
  else
  {
    // No label is larger than those that were given as LabelPixelType.
    const std::vector<std::uint16_t> labels = session.labels();
    std::transform(labels.begin(), labels.end(), output->GetBufferPointer(), [](std::uint16_t label) { return static_cast<LabelPixelType>(label); });
  }
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::GenerateData()
{
  this->AllocateOutputs();
  try
  {
    this->LoadModel();
    promem::SessionOptions sessionOptions;
    sessionOptions.axis = m_SliceAxis;
    sessionOptions.window_width = m_WindowWidth;
    sessionOptions.window_level = m_WindowLevel;
    promem::Session session(*m_Model, MakeVolume(this->GetInput()), sessionOptions);
    this->AddPrompts(session);
    session.propagate(this->MakeOptions(session.slices()), [this](const promem_progress & progress) {
      this->UpdateProgress(progress.expected == 0 ? 0.0F : static_cast<float>(progress.done) / static_cast<float>(progress.expected));
      return !this->GetAbortGenerateData();
    });
    if (this->GetAbortGenerateData())
    {
      throw ProcessAborted(__FILE__, __LINE__); // at the last slice
    }
    this->ReadLabels(session);
  }
  catch (const promem::Error & error)
  {
    if (error.cancelled())
    {
      throw ProcessAborted(__FILE__, __LINE__);
    }
    itkExceptionMacro(<< promem_status_name(error.status()) << ": " << error.what());
  }
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::PrintSelf(std::ostream & os, Indent indent) const
{
  Superclass::PrintSelf(os, indent);
  os << indent << "Points: " << m_Points.size() << std::endl;
  os << indent << "Regions: " << m_Regions.size() << std::endl;
  os << indent << "PromptSlices: " << (m_PromptSlices == PromptSlicesEnum::All ? "All" : "Middle") << std::endl;
  os << indent << "ModelPath: " << m_ModelPath << std::endl;
  os << indent << "Device: " << m_Device << std::endl;
  os << indent << "Precision: " << m_Precision << std::endl;
  os << indent << "SliceAxis: " << static_cast<std::uint32_t>(m_SliceAxis) << std::endl;
  os << indent << "PropagationDirection: " << static_cast<std::uint32_t>(m_PropagationDirection) << std::endl;
  os << indent << "SliceRange: ";
  if (m_SliceRange)
  {
    os << m_SliceRange->first << " to " << m_SliceRange->second << std::endl;
  }
  else
  {
    os << "(whole image)" << std::endl;
  }
  os << indent << "MemoryWindows:";
  for (const std::uint32_t window : m_MemoryWindows)
  {
    os << ' ' << window;
  }
  os << std::endl;
  os << indent << "Beams: " << m_Beams << std::endl;
  os << indent << "StopWhenAbsent: " << (m_StopWhenAbsent ? "On" : "Off") << std::endl;
  os << indent << "PresenceThreshold: " << m_PresenceThreshold << std::endl;
  os << indent << "WindowWidth: " << m_WindowWidth << std::endl;
  os << indent << "WindowLevel: " << m_WindowLevel << std::endl;
}
} // end namespace itk

#endif // itkProMemSegmentationImageFilter_hxx

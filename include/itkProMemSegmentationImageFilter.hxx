#ifndef itkProMemSegmentationImageFilter_hxx
#define itkProMemSegmentationImageFilter_hxx

#include "itkProMemSegmentationImageFilter.h"
#include "itkProMemSegmentationPrompts.hxx"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace itk
{
template <typename TInputImage, typename TLabelImage>
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ProMemSegmentationImageFilter()
{
  this->AddOptionalInputName("PromptLabelImage");
  this->ProcessObject::SetOutput("SliceScores", this->MakeOutput("SliceScores"));
}

template <typename TInputImage, typename TLabelImage>
DataObject::Pointer
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::MakeOutput(const DataObjectIdentifierType & name)
{
  if (name == "SliceScores")
  {
    return SimpleDataObjectDecorator<SliceScoresType>::New().GetPointer();
  }
  return Superclass::MakeOutput(name);
}

template <typename TInputImage, typename TLabelImage>
std::uint32_t
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ObjectOf(LabelPixelType label) const
{
  using PrintType = typename NumericTraits<LabelPixelType>::PrintType;
  if (label == 0)
  {
    itkExceptionMacro("label 0 is the background, expected 1 to 65535");
  }
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
auto
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::FirstIndex() const -> IndexType
{
  return this->GetInput()->GetLargestPossibleRegion().GetIndex();
}

template <typename TInputImage, typename TLabelImage>
promem::Index
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ToLibrary(const IndexType & index) const
{
  const IndexType first = this->FirstIndex();
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
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::SetSliceScores(const SliceScoresType & scores)
{
  using DecoratorType = SimpleDataObjectDecorator<SliceScoresType>;
  static_cast<DecoratorType *>(this->ProcessObject::GetOutput("SliceScores"))->Set(scores);
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::ReadScores(const promem::Session & session)
{
  const promem::Slices slices = session.slices();
  const IndexValueType begin = this->FirstIndex()[static_cast<unsigned int>(slices.axis) - 1];
  SliceScoresType      scores;
  for (const promem_prompt & prompt : session.prompts())
  {
    ScoresOfSlicesType & of = scores[static_cast<LabelPixelType>(prompt.object)];
    if (!of.empty())
    {
      continue; // another prompt of the same object
    }
    const std::vector<double> found = session.scores(prompt.object);
    for (std::size_t slice = 0; slice < found.size(); ++slice)
    {
      if (!std::isnan(found[slice]))
      {
        of[begin + static_cast<IndexValueType>(slice)] = found[slice];
      }
    }
  }
  this->SetSliceScores(scores);
}

template <typename TInputImage, typename TLabelImage>
auto
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::GetSliceScores(LabelPixelType label) const -> const ScoresOfSlicesType &
{
  const std::uint32_t     object = this->ObjectOf(label);
  const SliceScoresType & scores = this->GetSliceScores();
  const auto              found = scores.find(label);
  if (found == scores.end())
  {
    std::ostringstream known;
    for (const auto & of : scores)
    {
      known << (known.tellp() > 0 ? ", " : "") << static_cast<std::uint64_t>(of.first);
    }
    itkExceptionMacro("label " << object << ": it has no slice scores, expected one of the labels of the last update ("
                               << (scores.empty() ? "none yet" : known.str()) << ")");
  }
  return found->second;
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::Segment(promem::Session & session)
{
  const promem::PropagateOptions options = this->MakeOptions(session.slices());
  this->AddPrompts(session);
  session.propagate(options, [this](const promem_progress & progress) {
    this->UpdateProgress(progress.expected == 0 ? 0.0F : static_cast<float>(progress.done) / static_cast<float>(progress.expected));
    return !this->GetAbortGenerateData();
  });
  if (this->GetAbortGenerateData())
  {
    throw ProcessAborted(__FILE__, __LINE__); // at the last slice
  }
  this->ReadLabels(session);
  this->ReadScores(session);
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::GenerateData()
{
  this->AllocateOutputs();
  this->SetSliceScores(SliceScoresType());
  // What the library says of slices and voxels counts from the image's first index.
  std::string counting;
  try
  {
    this->LoadModel();
    promem::SessionOptions options;
    options.axis = m_SliceAxis;
    options.window_width = m_WindowWidth;
    options.window_level = m_WindowLevel;
    promem::Session session(*m_Model, MakeVolume(this->GetInput()), options);
    if (this->FirstIndex() != IndexType{})
    {
      std::ostringstream text;
      text << " (voxels and slices of this message count from 0 at the image's index " << this->FirstIndex() << ")";
      counting = text.str();
    }
    this->Segment(session);
  }
  catch (const promem::Error & error)
  {
    if (error.cancelled())
    {
      throw ProcessAborted(__FILE__, __LINE__);
    }
    itkExceptionMacro("" << promem_status_name(error.status()) << ": " << error.what() << counting);
  }
}

template <typename TInputImage, typename TLabelImage>
const char *
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::NameOf(PromptSlicesEnum which)
{
  return which == PromptSlicesEnum::All ? "All" : "Middle";
}

template <typename TInputImage, typename TLabelImage>
const char *
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::NameOf(SliceAxisEnum axis)
{
  switch (axis)
  {
    case SliceAxisEnum::largest_spacing:
      return "largest_spacing";
    case SliceAxisEnum::i:
      return "i";
    case SliceAxisEnum::j:
      return "j";
    case SliceAxisEnum::k:
      return "k";
  }
  return "unknown";
}

template <typename TInputImage, typename TLabelImage>
const char *
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::NameOf(PropagationDirectionEnum direction)
{
  switch (direction)
  {
    case PropagationDirectionEnum::both:
      return "both";
    case PropagationDirectionEnum::up:
      return "up";
    case PropagationDirectionEnum::down:
      return "down";
  }
  return "unknown";
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::PrintSelf(std::ostream & os, Indent indent) const
{
  Superclass::PrintSelf(os, indent);
  os << indent << "Points: " << m_Points.size() << std::endl;
  for (const PointPrompt & prompt : m_Points)
  {
    os << indent.GetNextIndent() << "label " << prompt.object << (prompt.positive ? ", inside: " : ", outside: ") << prompt.point << std::endl;
  }
  os << indent << "Regions: " << m_Regions.size() << std::endl;
  for (const RegionPrompt & prompt : m_Regions)
  {
    os << indent.GetNextIndent() << "label " << prompt.object << ": index " << prompt.region.GetIndex() << ", size " << prompt.region.GetSize()
       << std::endl;
  }
  os << indent << "PromptSlices: " << NameOf(m_PromptSlices) << std::endl;
  os << indent << "ModelPath: " << (m_ModelPath.empty() ? "(default model)" : m_ModelPath) << std::endl;
  os << indent << "Device: " << m_Device << std::endl;
  os << indent << "Precision: " << m_Precision << std::endl;
  os << indent << "SliceAxis: " << NameOf(m_SliceAxis) << std::endl;
  os << indent << "PropagationDirection: " << NameOf(m_PropagationDirection) << std::endl;
  os << indent << "SliceRange: ";
  if (m_SliceRange)
  {
    os << m_SliceRange->first << " to " << m_SliceRange->second << std::endl;
  }
  else
  {
    os << "(whole image)" << std::endl;
  }
  os << indent << "MemoryWindows:" << (m_MemoryWindows.empty() ? " (the method's)" : "");
  for (const std::uint32_t window : m_MemoryWindows)
  {
    os << ' ' << window;
  }
  os << std::endl;
  os << indent << "Beams: " << m_Beams << (m_Beams == 0 ? " (the method's)" : "") << std::endl;
  os << indent << "StopWhenAbsent: " << (m_StopWhenAbsent ? "On" : "Off") << std::endl;
  os << indent << "PresenceThreshold: " << m_PresenceThreshold << (m_PresenceThreshold == 0 ? " (the model's)" : "") << std::endl;
  os << indent << "WindowWidth: " << m_WindowWidth << (m_WindowWidth == 0 ? " (chosen from the image and the object)" : "") << std::endl;
  os << indent << "WindowLevel: " << m_WindowLevel << std::endl;
  os << indent << "SliceScores: of " << this->GetSliceScores().size() << " labels" << std::endl;
}
} // end namespace itk

#endif // itkProMemSegmentationImageFilter_hxx

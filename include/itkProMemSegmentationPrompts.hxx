// What the filter tells the library: prompts and the slice range, checked in the image's own indices.

#ifndef itkProMemSegmentationPrompts_hxx
#define itkProMemSegmentationPrompts_hxx

#include "itkProMemPromptMasks.h"
#include "itkProMemSegmentationImageFilter.h"

#include <algorithm>

namespace itk
{
template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddPrompts(promem::Session & session) const
{
  const InputImageType * const image = this->GetInput();
  const RegionType             whole = image->GetLargestPossibleRegion();
  const unsigned int           across = static_cast<unsigned int>(session.slices().axis) - 1;
  for (const PointPrompt & prompt : m_Points)
  {
    IndexType index;
    if (!image->TransformPhysicalPointToIndex(prompt.point, index))
    {
      itkExceptionMacro("point " << prompt.point << ": it lies at index " << index << ", expected a point inside the image, whose indices are "
                                 << whole.GetIndex() << " to " << whole.GetUpperIndex());
    }
    session.add_point(prompt.object, this->ToLibrary(index), prompt.positive);
  }
  for (const RegionPrompt & prompt : m_Regions)
  {
    this->AddRegionPrompt(session, prompt, across);
  }
  if (this->GetPromptLabelImage() != nullptr)
  {
    this->AddLabelImage(session);
  }
  this->CheckPrompts(session);
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddRegionPrompt(promem::Session &    session,
                                                                         const RegionPrompt & prompt,
                                                                         unsigned int         across) const
{
  const RegionType & region = prompt.region;
  if (region.GetNumberOfPixels() == 0)
  {
    itkExceptionMacro("region of size " << region.GetSize() << ": expected at least one voxel");
  }
  const IndexType  first = region.GetIndex();
  const IndexType  last = region.GetUpperIndex();
  const RegionType whole = this->GetInput()->GetLargestPossibleRegion();
  if (!whole.IsInside(region))
  {
    itkExceptionMacro("region of label " << prompt.object << ", indices " << first << " to " << last << ": expected it inside the image, whose indices are "
                                         << whole.GetIndex() << " to " << whole.GetUpperIndex());
  }
  if (first[across] != last[across])
  {
    itkExceptionMacro("region of label " << prompt.object << ", indices " << first << " to " << last << ": it covers slices " << first[across] << " to "
                                         << last[across] << " along axis " << across << ", expected one slice");
  }
  session.add_box(prompt.object, this->ToLibrary(first), this->ToLibrary(last));
}

template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddLabelImage(promem::Session & session) const
{
  const ProMemPromptMasks<LabelImageType> masks(this->GetPromptLabelImage(), session.slices());
  const auto                              labels = masks.Find();
  if (labels.empty())
  {
    itkExceptionMacro("prompt label image: it holds no label");
  }
  for (const auto & [label, found] : labels)
  {
    const std::uint32_t object = this->ObjectOf(label);
    if (m_PromptSlices == PromptSlicesEnum::Middle)
    {
      const std::int64_t middle = masks.Middle(found);
      session.add_mask(object, middle, masks.Mask(label, middle));
      continue;
    }
    for (const std::int64_t slice : found)
    {
      session.add_mask(object, slice, masks.Mask(label, slice));
    }
  }
}

// The library would say the same of slices that are counted from 0.
template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::CheckPrompts(const promem::Session & session) const
{
  const unsigned int   across = static_cast<unsigned int>(session.slices().axis) - 1;
  const IndexValueType begin = this->FirstIndex()[across];
  for (const promem_prompt & prompt : session.prompts())
  {
    const IndexValueType slice = begin + static_cast<IndexValueType>(prompt.slice);
    if (m_SliceRange && (slice < m_SliceRange->first || slice > m_SliceRange->second))
    {
      itkExceptionMacro("label " << prompt.object << ": its prompt on slice " << slice << " lies outside the slice range " << m_SliceRange->first << " to "
                                 << m_SliceRange->second);
    }
    const bool positive = std::any_of(m_Points.begin(), m_Points.end(), [&](const PointPrompt & point) {
      return point.object == prompt.object && point.positive &&
             this->GetInput()->TransformPhysicalPointToIndex(point.point)[across] == slice;
    });
    if (prompt.has_box == 0 && prompt.has_mask == 0 && !positive)
    {
      itkExceptionMacro("label " << prompt.object << ", slice " << slice
                                 << ": it has only points outside the object, expected a point inside, a region or a mask as well");
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
    const unsigned int   across = static_cast<unsigned int>(slices.axis) - 1;
    const IndexValueType begin = this->FirstIndex()[across];
    const IndexValueType end = begin + static_cast<IndexValueType>(slices.count) - 1;
    const auto [first, last] = *m_SliceRange;
    if (first > last || first < begin || last > end)
    {
      itkExceptionMacro("slice range " << first << " to " << last << ": expected two rising indices between " << begin << " and " << end
                                       << ", the image's along axis " << across);
    }
    options.range.emplace(first - begin, last - begin);
  }
  return options;
}
} // end namespace itk

#endif // itkProMemSegmentationPrompts_hxx

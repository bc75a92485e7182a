// What the filter tells the library: prompts and the slice range, checked in the image's own indices.

#ifndef itkProMemSegmentationPrompts_hxx
#define itkProMemSegmentationPrompts_hxx

#include "itkProMemPromptMasks.h"
#include "itkProMemSegmentationImageFilter.h"

#include <algorithm>
#include <vector>

namespace itk
{
template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::AddPrompts(promem::Session & session) const
{
  const InputImageType * const image = this->GetInput();
  const RegionType             whole = image->GetLargestPossibleRegion();
  const unsigned int           across = static_cast<unsigned int>(session.slices().axis) - 1;
  std::vector<IndexType>   indices;
  for (const PointPrompt & prompt : m_Points)
  {
    IndexType index;
    if (!image->TransformPhysicalPointToIndex(prompt.point, index))
    {
      itkExceptionMacro("point " << prompt.point << ": it lies at index " << index << ", expected a point inside the image, whose indices are "
                                 << whole.GetIndex() << " to " << whole.GetUpperIndex());
    }
    indices.push_back(index);
  }
  // A prompt refines the mask of those before it: masks first, then what says where the object is, then where it is not.
  if (this->GetPromptLabelImage() != nullptr)
  {
    this->AddLabelImage(session);
  }
  for (const RegionPrompt & prompt : m_Regions)
  {
    this->AddRegionPrompt(session, prompt, across);
  }
  for (const bool positive : { true, false })
  {
    for (std::size_t n = 0; n < m_Points.size(); ++n)
    {
      const PointPrompt & prompt = m_Points[n];
      if (prompt.positive != positive)
      {
        continue;
      }
      const promem::Index library = this->ToLibrary(indices[n]);
      if (!positive)
      {
        this->CheckMask(session, prompt.object, library[across], across);
      }
      session.add_point(prompt.object, library, positive);
    }
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

// Points outside an object need something that says where it is.
template <typename TInputImage, typename TLabelImage>
void
ProMemSegmentationImageFilter<TInputImage, TLabelImage>::CheckMask(const promem::Session & session,
                                                                   std::uint32_t           object,
                                                                   std::int64_t            slice,
                                                                   unsigned int            across) const
{
  const auto prompts = session.prompts();
  const bool has = std::any_of(prompts.begin(), prompts.end(), [&](const promem_prompt & prompt) {
    return prompt.object == object && prompt.slice == slice;
  });
  if (!has)
  {
    itkExceptionMacro("label " << object << ", slice " << this->FirstIndex()[across] + slice
                               << ": it has only points outside the object, expected a point inside, a region or a mask as well");
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

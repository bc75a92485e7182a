// The slices of a prompt label image as masks, for itkProMemSegmentationImageFilter.h.

#ifndef itkProMemPromptMasks_h
#define itkProMemPromptMasks_h

#include "itkImage.h"
#include "promem.hpp"

#include <map>

namespace itk
{
/** \class ProMemPromptMasks
 * \brief Finds the slices of each label in a label image, and the label's mask on a slice.
 *
 * Slices are numbered from 0 at the image's first index, as the library numbers them.
 *
 * \ingroup ProMem
 */
template <typename TLabelImage>
class ProMemPromptMasks
{
public:
  using LabelPixelType = typename TLabelImage::PixelType;
  using SlicesOfLabels = std::map<LabelPixelType, std::vector<std::int64_t>>;

  ProMemPromptMasks(const TLabelImage * image, const promem::Slices & slices)
    : m_Image(image)
    , m_Slices(slices)
    , m_Across(static_cast<unsigned int>(slices.axis) - 1)
    // A slice's columns and rows are the two other axes in rising order.
    , m_ColumnAxis(m_Across == 0 ? 1 : 0)
    , m_RowAxis(m_Across == 2 ? 1 : 2)
  {}

  /** The slices on which each label but 0 occurs, rising. */
  SlicesOfLabels
  Find() const
  {
    SlicesOfLabels labels;
    for (std::int64_t slice = 0; slice < static_cast<std::int64_t>(m_Slices.count); ++slice)
    {
      for (std::uint64_t row = 0; row < m_Slices.rows; ++row)
      {
        for (std::uint64_t column = 0; column < m_Slices.columns; ++column)
        {
          const LabelPixelType label = this->At(slice, row, column);
          if (label != 0)
          {
            std::vector<std::int64_t> & found = labels[label];
            if (found.empty() || found.back() != slice)
            {
              found.push_back(slice);
            }
          }
        }
      }
    }
    return labels;
  }

  /** The slice in the middle of a label's extent, or the nearest to it that has the label; at a tie the lower. */
  static std::int64_t
  Middle(const std::vector<std::int64_t> & found)
  {
    const std::int64_t middle = (found.front() + found.back()) / 2;
    return *std::min_element(
      found.begin(), found.end(), [middle](std::int64_t a, std::int64_t b) { return std::abs(a - middle) < std::abs(b - middle); });
  }

  /** 1 where the label is, row after row. */
  std::vector<std::uint8_t>
  Mask(LabelPixelType label, std::int64_t slice) const
  {
    std::vector<std::uint8_t> mask;
    mask.reserve(m_Slices.rows * m_Slices.columns);
    for (std::uint64_t row = 0; row < m_Slices.rows; ++row)
    {
      for (std::uint64_t column = 0; column < m_Slices.columns; ++column)
      {
        mask.push_back(this->At(slice, row, column) == label);
      }
    }
    return mask;
  }

private:
  LabelPixelType
  At(std::int64_t slice, std::uint64_t row, std::uint64_t column) const
  {
    auto index = m_Image->GetLargestPossibleRegion().GetIndex();
    index[m_Across] += slice;
    index[m_RowAxis] += static_cast<IndexValueType>(row);
    index[m_ColumnAxis] += static_cast<IndexValueType>(column);
    return m_Image->GetPixel(index);
  }

  const TLabelImage * m_Image;
  promem::Slices      m_Slices;
  unsigned int        m_Across;
  unsigned int        m_ColumnAxis;
  unsigned int        m_RowAxis;
};
} // end namespace itk

#endif // itkProMemPromptMasks_h

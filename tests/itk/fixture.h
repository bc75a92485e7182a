// What the tests of the filter share: the scan and prompts that `filter prepare` writes, and filters that have them.

#ifndef fixture_h
#define fixture_h

#include "itkImageFileReader.h"
#include "itkProMemSegmentationImageFilter.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

using ScanType = itk::Image<short, 3>;
using LabelType = itk::Image<unsigned short, 3>;
using BytesType = itk::Image<unsigned char, 3>;
using IndexType = ScanType::IndexType;
using ScoresType = itk::ProMemSegmentationImageFilter<ScanType, LabelType>::ScoresOfSlicesType;

inline int failed = 0;
inline int passed = 0;

inline void
Check(bool holds, const std::string & sentence)
{
  ++(holds ? passed : failed);
  std::cout << (holds ? "ok     " : "FAILED ") << sentence << std::endl;
}

// An exception that nobody expected fails one test, not those after it.
template <typename TTest>
void
Run(TTest test)
{
  try
  {
    test();
  }
  catch (const std::exception & error)
  {
    Check(false, std::string("an unexpected exception: ") + error.what());
  }
}

// Gives tests what subclasses see.
template <typename TLabel>
class Filter : public itk::ProMemSegmentationImageFilter<ScanType, TLabel>
{
public:
  using Self = Filter;
  using Superclass = itk::ProMemSegmentationImageFilter<ScanType, TLabel>;
  using Pointer = itk::SmartPointer<Self>;
  itkSimpleNewMacro(Self);
  using Superclass::MakeVolume;
};

const IndexType clickInside{ { 40, 14, 40 } };
const IndexType clickOutside{ { 80, 14, 80 } };
const IndexType boxFirst{ { 60, 15, 20 } };
const IndexType boxLast{ { 95, 15, 50 } };

template <typename A, typename B>
bool
SameVoxels(const A * one, const B * other)
{
  const auto region = one->GetLargestPossibleRegion();
  if (region.GetSize() != other->GetLargestPossibleRegion().GetSize())
  {
    return false;
  }
  const auto count = region.GetNumberOfPixels();
  return std::equal(one->GetBufferPointer(), one->GetBufferPointer() + count, other->GetBufferPointer());
}

// Whether each of the labels covers something and not everything.
inline bool
HasObjects(const LabelType * labels)
{
  const auto count = static_cast<std::ptrdiff_t>(labels->GetLargestPossibleRegion().GetNumberOfPixels());
  const auto of = [&](int label) { return std::count(labels->GetBufferPointer(), labels->GetBufferPointer() + count, label); };
  return of(1) > 500 && of(2) > 500 && of(0) > count / 2 && of(0) + of(1) + of(2) == count;
}

class Fixture
{
public:
  Fixture(std::string folder, std::string model)
    : m_Folder(std::move(folder))
    , m_Model(std::move(model))
    , m_Scan(itk::ReadImage<ScanType>(m_Folder + "/scan.nii.gz"))
    , m_Prompts(itk::ReadImage<LabelType>(m_Folder + "/prompts.nii.gz"))
  {}

protected:
  template <typename TLabel>
  typename Filter<TLabel>::Pointer
  NewFilter(const ScanType * scan)
  {
    const auto filter = Filter<TLabel>::New();
    filter->SetInput(scan);
    filter->SetModelPath(m_Model);
    filter->StopWhenAbsentOff();
    return filter;
  }

  Filter<LabelType>::Pointer
  MaskFilter()
  {
    const auto filter = NewFilter<LabelType>(m_Scan);
    filter->SetPromptLabelImage(m_Prompts);
    filter->SetSliceRange(10, 20);
    filter->SetWindowWidth(400);
    filter->SetWindowLevel(40);
    return filter;
  }

  template <typename TLabel>
  typename Filter<TLabel>::Pointer
  ClickFilter(const ScanType * scan)
  {
    const auto filter = NewFilter<TLabel>(scan);
    const auto start = scan->GetLargestPossibleRegion().GetIndex();
    const auto at = [&](const IndexType & ijk) { return IndexType{ { start[0] + ijk[0], start[1] + ijk[1], start[2] + ijk[2] } }; };
    // Off the voxel's middle: the nearest voxel counts.
    auto inside = scan->TransformIndexToPhysicalPoint<double>(at(clickInside));
    inside[0] += 0.4;
    filter->AddPoint(inside);
    filter->AddPoint(scan->TransformIndexToPhysicalPoint<double>(at(clickOutside)), false);
    ScanType::RegionType box;
    box.SetIndex(at(boxFirst));
    box.SetUpperIndex(at(boxLast));
    filter->AddRegion(box, 2);
    filter->SetPropagationDirection(promem::Direction::up);
    filter->SetSliceRange(start[1] + 12, start[1] + 17);
    return filter;
  }

  // The same voxels at the same places under other indices.
  ScanType::Pointer
  Shifted()
  {
    const IndexType start{ { 5, -3, 100 } };
    const auto      shifted = ScanType::New();
    shifted->CopyInformation(m_Scan);
    shifted->SetRegions(ScanType::RegionType(start, m_Scan->GetLargestPossibleRegion().GetSize()));
    shifted->SetOrigin(m_Scan->TransformIndexToPhysicalPoint<double>(IndexType{ { -start[0], -start[1], -start[2] } }));
    shifted->SetPixelContainer(m_Scan->GetPixelContainer());
    return shifted;
  }

  LabelType::Pointer
  Written(const std::string & name)
  {
    return itk::ReadImage<LabelType>(m_Folder + "/" + name + ".nii.gz");
  }

  std::string         m_Folder;
  std::string         m_Model;
  ScanType::Pointer   m_Scan;
  LabelType::Pointer  m_Prompts;
};

#endif // fixture_h

// The ITK filter against the command line.
//
//     filter prepare DEMO FOLDER      from the demo's scan and mask: an oblique scan and prompts for the command line
//                                     (see packages.sh)
//     filter check FOLDER MODEL       compares with what the command line wrote into the folder; prints one line for
//                                     each check
//     filter dicom SCAN FOLDER        writes a scan along the patient's axes as a DICOM series
//     filter same ONE OTHER           whether two label files are equal and hold something

#include "fixture.h"
#include "itkChangeInformationImageFilter.h"
#include "itkGDCMImageIO.h"
#include "itkImageFileWriter.h"
#include "itkPermuteAxesImageFilter.h"
#include "itkRegionOfInterestImageFilter.h"
#include "messages.h"

#include <fstream>
#include <set>

namespace
{
// Slices lie across j, the three spacings differ, and no axis of the image is one of the patient's.
constexpr double spacings[3] = { 2.5, 6.0, 3.0 };

template <typename TImage>
typename TImage::Pointer
Oblique(const std::string & path)
{
  const auto permute = itk::PermuteAxesImageFilter<TImage>::New();
  typename itk::PermuteAxesImageFilter<TImage>::PermuteOrderArrayType order;
  order[0] = 0;
  order[1] = 2;
  order[2] = 1;
  permute->SetInput(itk::ReadImage<TImage>(path));
  permute->SetOrder(order);

  const double a = 0.3, b = -0.4, c = 0.5;
  typename TImage::DirectionType x, y, z;
  x.SetIdentity(), y.SetIdentity(), z.SetIdentity();
  x[1][1] = x[2][2] = std::cos(a), x[1][2] = -std::sin(a), x[2][1] = std::sin(a);
  y[0][0] = y[2][2] = std::cos(b), y[0][2] = std::sin(b), y[2][0] = -std::sin(b);
  z[0][0] = z[1][1] = std::cos(c), z[0][1] = -std::sin(c), z[1][0] = std::sin(c);

  const auto place = itk::ChangeInformationImageFilter<TImage>::New();
  place->SetInput(permute->GetOutput());
  place->SetOutputSpacing(spacings);
  place->SetOutputDirection(typename TImage::DirectionType(x * y * z));
  const double origin[3] = { -37.0, 81.5, -220.25 };
  place->SetOutputOrigin(origin);
  place->ChangeAll();
  place->Update();
  return place->GetOutput();
}

// Object 1 on slices 12, 13 and 18: their middle has no label, 13 is the nearest that has one. Object 2 on slices 13
// and 15: at a tie the lower counts.
bool
IsPrompt(itk::IndexValueType slice, bool second)
{
  return second ? slice == 13 || slice == 15 : slice == 12 || slice == 13 || slice == 18;
}

int
Prepare(const std::string & demo, const std::string & folder)
{
  const auto scan = Oblique<ScanType>(demo + "/scan.nii.gz");
  const auto labels = Oblique<LabelType>(demo + "/mask.nii.gz");
  // The demo's mask covers one slice; here it is set down on several, cut into two objects.
  const auto prompts = LabelType::New();
  prompts->CopyInformation(labels);
  prompts->SetRegions(labels->GetLargestPossibleRegion());
  prompts->Allocate(true);
  itk::ImageRegionConstIteratorWithIndex<LabelType> at(labels, labels->GetLargestPossibleRegion());
  for (; !at.IsAtEnd(); ++at)
  {
    const bool second = at.GetIndex()[0] > 50;
    for (itk::IndexValueType slice = 0; at.Get() != 0 && slice < 32; ++slice)
    {
      IndexType index = at.GetIndex();
      index[1] = slice;
      if (IsPrompt(slice, second))
      {
        prompts->SetPixel(index, second ? 2 : 1);
      }
    }
  }
  itk::WriteImage(scan, folder + "/scan.nii.gz");
  itk::WriteImage(prompts, folder + "/prompts.nii.gz");

  std::ofstream clicks(folder + "/clicks.txt");
  // The box lies between the points, so that they are two calls, as they are to the filter.
  clicks << "--object 1 --point " << clickInside[0] << ',' << clickInside[1] << ',' << clickInside[2] << " --object 2 --box "
         << boxFirst[0] << ',' << boxFirst[2] << ',' << boxLast[0] << ',' << boxLast[2] << ',' << boxFirst[1] << " --object 1 --point "
         << clickOutside[0] << ',' << clickOutside[1] << ',' << clickOutside[2] << ",0\n";
  return clicks ? 0 : 1;
}

int
WriteDicom(const std::string & path, const std::string & folder)
{
  const auto               scan = itk::ReadImage<ScanType>(path);
  const ScanType::SizeType size = scan->GetLargestPossibleRegion().GetSize();
  for (itk::IndexValueType k = 0; k < static_cast<itk::IndexValueType>(size[2]); ++k)
  {
    const auto slice = itk::RegionOfInterestImageFilter<ScanType, ScanType>::New();
    slice->SetInput(scan);
    slice->SetRegionOfInterest({ IndexType{ { 0, 0, k } }, ScanType::SizeType{ { size[0], size[1], 1 } } });
    slice->Update();
    const auto         position = slice->GetOutput()->GetOrigin();
    std::ostringstream text;
    text << position[0] << '\\' << position[1] << '\\' << position[2];
    auto & tags = slice->GetOutput()->GetMetaDataDictionary();
    itk::EncapsulateMetaData<std::string>(tags, "0008|0060", "CT");
    itk::EncapsulateMetaData<std::string>(tags, "0020|000d", "2.25.1");
    itk::EncapsulateMetaData<std::string>(tags, "0020|000e", "2.25.2");
    itk::EncapsulateMetaData<std::string>(tags, "0020|0013", std::to_string(k + 1));
    itk::EncapsulateMetaData<std::string>(tags, "0020|0032", text.str());
    itk::EncapsulateMetaData<std::string>(tags, "0020|0037", "1\\0\\0\\0\\1\\0");
    const auto io = itk::GDCMImageIO::New();
    io->KeepOriginalUIDOn();
    const auto writer = itk::ImageFileWriter<ScanType>::New();
    writer->SetImageIO(io);
    writer->SetInput(slice->GetOutput());
    // Names in another order than places.
    writer->SetFileName(folder + "/" + std::to_string(99 - k) + ".dcm");
    writer->Update();
  }
  return 0;
}

class FilterTest : public Fixture
{
public:
  using Fixture::Fixture;

  void
  Geometry()
  {
    double worst = 0;
    for (const ScanType::Pointer & scan : { m_Scan, Shifted() })
    {
      const promem_volume volume = Filter<LabelType>::MakeVolume(scan).get();
      const IndexType     start = scan->GetLargestPossibleRegion().GetIndex();
      for (const IndexType ijk : { IndexType{ { 0, 0, 0 } }, IndexType{ { 7, 0, 0 } }, IndexType{ { 3, 11, 5 } }, IndexType{ { 20, 1, 60 } } })
      {
        const auto point = scan->TransformIndexToPhysicalPoint<double>(IndexType{ { start[0] + ijk[0], start[1] + ijk[1], start[2] + ijk[2] } });
        const double ras[3] = { -point[0], -point[1], point[2] };
        for (int row = 0; row < 3; ++row)
        {
          const auto & m = volume.ijk_to_ras[row];
          const double found = m[0] * double(ijk[0]) + m[1] * double(ijk[1]) + m[2] * double(ijk[2]) + m[3];
          worst = std::max(worst, std::abs(found - ras[row]));
        }
      }
    }
    Check(worst < 1e-9, "the library sees each voxel where ITK has it (worst: " + std::to_string(worst) + " mm)");
  }

  void
  Masks()
  {
    const auto middle = MaskFilter();
    middle->Update();
    const auto output = middle->GetOutput();
    Check(SameVoxels(output, Written("middle").GetPointer()) && HasObjects(output), "masks: the command line's, voxel for voxel");
    Check(output->GetOrigin() == m_Scan->GetOrigin() && output->GetSpacing() == m_Scan->GetSpacing() && output->GetDirection() == m_Scan->GetDirection(),
          "the output lies where the image lies");

    middle->SetPromptSlices(Filter<LabelType>::PromptSlicesEnum::All);
    middle->SetMemoryWindows({ 2 });
    middle->SetBeams(3);
    middle->Update();
    Check(SameVoxels(middle->GetOutput(), Written("all").GetPointer()) && !SameVoxels(Written("all").GetPointer(), Written("middle").GetPointer()),
          "all prompt slices, other windows and beams: the command line's, after changes to the same filter");
  }

  void
  Clicks()
  {
    const auto clicks = ClickFilter<LabelType>(m_Scan);
    clicks->Update();
    Check(SameVoxels(clicks->GetOutput(), Written("clicks").GetPointer()) && HasObjects(clicks->GetOutput()),
          "points and a region, upwards: the command line's, voxel for voxel");
    const auto bytes = ClickFilter<BytesType>(m_Scan);
    bytes->Update();
    Check(SameVoxels(bytes->GetOutput(), clicks->GetOutput()), "labels of one byte are the same");
    const auto shifted = ClickFilter<LabelType>(Shifted());
    shifted->Update();
    Check(SameVoxels(shifted->GetOutput(), clicks->GetOutput()) && shifted->GetOutput()->GetLargestPossibleRegion() == Shifted()->GetLargestPossibleRegion(),
          "indices may begin anywhere");
  }

  void
  Stopping()
  {
    const auto stopping = MaskFilter();
    stopping->ClearSliceRange();
    stopping->StopWhenAbsentOn();
    stopping->SetPresenceThreshold(0.85F);
    stopping->SetWindowWidth(0);
    stopping->SetSliceAxis(promem::Axis::k);
    stopping->SetPrecision("fp32");
    stopping->SetPropagationDirection(promem::Direction::up);
    stopping->Update();
    Check(SameVoxels(stopping->GetOutput(), Written("stopping").GetPointer()), "the stop rule, along another axis: the command line's, voxel for voxel");
  }

  // Of each object on each slice of the range, in the image's own indices; masks that were given have 1.
  void
  Scores()
  {
    const auto masks = MaskFilter();
    Check(masks->GetSliceScores().empty(), "there are no scores before the first update");
    masks->Update();
    const auto & scores = masks->GetSliceScores();
    const auto   complete = [](const ScoresType & of, itk::IndexValueType first, itk::IndexValueType last) {
      bool good = of.size() == static_cast<std::size_t>(last - first + 1);
      for (itk::IndexValueType slice = first; good && slice <= last; ++slice)
      {
        good = of.count(slice) == 1 && of.at(slice) >= 0 && of.at(slice) <= 1;
      }
      return good;
    };
    Check(scores.size() == 2 && complete(scores.at(1), 10, 20) && complete(scores.at(2), 10, 20), "each object has a score on each slice of the range");
    Check(scores.at(1).at(13) == 1 && scores.at(2).at(13) == 1 && scores.at(1).at(14) < 1, "a mask that was given has the score 1, a predicted one less");
    Check(&masks->GetSliceScores(2) == &masks->GetSliceScoresOutput()->Get().at(2), "GetSliceScores(label) is that label's part of the output");

    const auto scan = Shifted();
    const auto plain = ClickFilter<LabelType>(m_Scan);
    const auto shifted = ClickFilter<LabelType>(scan);
    plain->Update();
    shifted->Update();
    const auto start = scan->GetLargestPossibleRegion().GetIndex(1);
    ScoresType expected;
    for (const auto & [slice, score] : plain->GetSliceScores(1))
    {
      expected[slice + start] = score;
    }
    Check(!expected.empty() && shifted->GetSliceScores(1) == expected, "slices of scores are indices of the image, wherever they begin");

    shifted->SetDevice("abacus");
    try
    {
      shifted->Update();
    }
    catch (const itk::ExceptionObject &)
    {
    }
    Check(shifted->GetSliceScores().empty(), "a failed update leaves no scores of an earlier one");
  }

  void
  Progress()
  {
    const auto         filter = MaskFilter();
    std::vector<float> told;
    filter->AddObserver(itk::ProgressEvent(), [&](const itk::EventObject &) { told.push_back(filter->GetProgress()); });
    filter->Update();
    told.insert(told.begin(), 0.0F);
    Check(std::is_sorted(told.begin(), told.end()) && told.back() == 1.0F,
          "progress never falls, up to " + std::to_string(told.back()));
    Check(std::set<float>(told.begin(), told.end()).size() > 10, "progress comes with each slice (" + std::to_string(told.size()) + " events)");
  }

  void
  Abort()
  {
    const auto filter = MaskFilter();
    int        events = 0;
    bool       abortEvent = false;
    const auto tag = filter->AddObserver(itk::ProgressEvent(), [&](const itk::EventObject &) {
      if (filter->GetProgress() > 0.2F)
      {
        ++events;
        filter->AbortGenerateDataOn();
      }
    });
    filter->AddObserver(itk::AbortEvent(), [&](const itk::EventObject &) { abortEvent = true; });
    bool aborted = false;
    try
    {
      filter->Update();
    }
    catch (const itk::ProcessAborted &)
    {
      aborted = true;
    }
    Check(aborted && abortEvent && filter->GetProgress() < 0.5F && events == 1, "AbortGenerateData ends it with ProcessAborted after the slice that it is at");
    filter->RemoveObserver(tag);
    filter->Update();
    Check(SameVoxels(filter->GetOutput(), Written("middle").GetPointer()), "an aborted filter can be updated again");
  }

  // At the last slice everything is computed, and yet the caller wants no result.
  void
  LateAbort()
  {
    const auto filter = MaskFilter();
    const auto last = filter->AddObserver(itk::ProgressEvent(), [&](const itk::EventObject &) {
      if (filter->GetProgress() == 1.0F)
      {
        filter->AbortGenerateDataOn();
      }
    });
    bool aborted = false;
    try
    {
      filter->Update();
    }
    catch (const itk::ProcessAborted &)
    {
      aborted = true;
    }
    filter->RemoveObserver(last);
    Check(aborted, "an abort at the last slice is an abort");

    filter->AddObserver(itk::ProgressEvent(), [&](const itk::EventObject &) {
      if (filter->GetProgress() > 0)
      {
        throw std::logic_error("planted");
      }
    });
    filter->Modified();
    std::string what;
    try
    {
      filter->Update();
    }
    catch (const std::logic_error & error)
    {
      what = error.what();
    }
    Check(what == "planted", "an observer's exception comes out of Update");
  }

};
} // namespace

int
main(int argc, char ** argv)
{
  const std::string verb = argc == 4 ? argv[1] : "";
  try
  {
    if (verb == "prepare")
    {
      return Prepare(argv[2], argv[3]);
    }
    if (verb == "dicom")
    {
      return WriteDicom(argv[2], argv[3]);
    }
    if (verb == "same")
    {
      const auto   one = itk::ReadImage<LabelType>(argv[2]);
      const auto   other = itk::ReadImage<LabelType>(argv[3]);
      const auto   count = one->GetLargestPossibleRegion().GetNumberOfPixels();
      const double apart = (one->GetOrigin() - other->GetOrigin()).GetNorm();
      const bool   something = std::count(one->GetBufferPointer(), one->GetBufferPointer() + count, 1) > 500;
      std::cout << "origins " << apart << " mm apart" << std::endl;
      return something && apart < 1e-3 && SameVoxels(one.GetPointer(), other.GetPointer()) ? 0 : 1;
    }
    if (verb == "check")
    {
      FilterTest test(argv[2], argv[3]);
      Run([&] { test.Geometry(); });
      Run([&] { test.Masks(); });
      Run([&] { test.Clicks(); });
      Run([&] { test.Stopping(); });
      Run([&] { test.Scores(); });
      Run([&] { test.Progress(); });
      Run([&] { test.Abort(); });
      Run([&] { test.LateAbort(); });
      MessageTest messages(argv[2], argv[3]);
      Run([&] { messages.Refusals(); });
      Run([&] { messages.Labels(); });
      Run([&] { messages.OwnIndices(); });
      Run([&] { messages.Printing(); });
      std::cout << passed << " passed, " << failed << " failed" << std::endl;
      return failed == 0 ? 0 : 1;
    }
  }
  catch (const std::exception & error)
  {
    std::cout << "FAILED an unexpected exception: " << error.what() << std::endl;
    return 1;
  }
  std::cerr << "usage: filter prepare|check|dicom|same ONE OTHER\n";
  return 2;
}

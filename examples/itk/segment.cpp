// Segments a scan from labelled slices.
//
//     segment SCAN PROMPTS OUTPUT [MODEL]
//
// SCAN: a DICOM series' folder, or a file such as scan.nii.gz. PROMPTS: labels on the scan's grid, such as prompts.nii.gz; the middle slice of each
// label counts. OUTPUT: such as mask.nii.gz. MODEL: without, PROMEM_MODEL of the environment, else the default model.

#include "itkCommand.h"
#include "itkGDCMImageIO.h"
#include "itkGDCMSeriesFileNames.h"
#include "itkImageFileReader.h"
#include "itkImageFileWriter.h"
#include "itkImageSeriesReader.h"
#include "itkProMemSegmentationImageFilter.h"

#include <itksys/SystemTools.hxx>

#include <algorithm>
#include <iostream>

using ScanType = itk::Image<float, 3>;
using LabelType = itk::Image<unsigned short, 3>;

namespace
{
ScanType::Pointer
ReadScan(const std::string & path)
{
  if (!itksys::SystemTools::FileIsDirectory(path))
  {
    return itk::ReadImage<ScanType>(path);
  }
  const auto names = itk::GDCMSeriesFileNames::New();
  names->SetDirectory(path);
  if (names->GetSeriesUIDs().empty())
  {
    itkGenericExceptionMacro("`" << path << "`: it holds no DICOM series");
  }
  if (names->GetSeriesUIDs().size() > 1)
  {
    itkGenericExceptionMacro("`" << path << "`: it holds " << names->GetSeriesUIDs().size() << " DICOM series, expected one");
  }
  const auto reader = itk::ImageSeriesReader<ScanType>::New();
  reader->SetImageIO(itk::GDCMImageIO::New());
  reader->SetFileNames(names->GetFileNames(names->GetSeriesUIDs().front()));
  reader->Update();
  return reader->GetOutput();
}
} // namespace

int
main(int argc, char ** argv)
{
  if (argc < 4 || argc > 5)
  {
    std::cerr << "usage: segment SCAN PROMPTS OUTPUT [MODEL]\n";
    return 2;
  }
  try
  {
    using FilterType = itk::ProMemSegmentationImageFilter<ScanType, LabelType>;
    const auto filter = FilterType::New();
    filter->SetInput(ReadScan(argv[1]));
    filter->SetPromptLabelImage(itk::ReadImage<LabelType>(argv[2]));
    filter->SetModelPath(argc > 4 ? argv[4] : "");
    filter->AddObserver(itk::ProgressEvent(), [&filter](const itk::EventObject &) {
      std::cerr << '\r' << static_cast<int>(100 * filter->GetProgress()) << " %";
    });
    itk::WriteImage(filter->GetOutput(), argv[3], true);
    std::cerr << '\n';
    // Where to look first: the slice on which the network is least sure of each object.
    for (const auto & [label, scores] : filter->GetSliceScores())
    {
      const auto worst = std::min_element(scores.begin(), scores.end(), [](const auto & a, const auto & b) { return a.second < b.second; });
      if (worst != scores.end())
      {
        std::cout << "label " << label << ": " << scores.size() << " slices, lowest predicted IoU " << worst->second << " on slice " << worst->first
                  << '\n';
      }
    }
  }
  catch (const itk::ExceptionObject & error)
  {
    std::cerr << '\n' << error.GetDescription() << '\n';
    return 1;
  }
  return 0;
}

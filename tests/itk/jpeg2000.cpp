// Reads damaged JPEG 2000 files in DICOM through ITK and GDCM, and prints what came of each.
//
//     jpeg2000 write FOLDER COUNT     writes COUNT files: one valid image, random bytes of whose codestream
//                                     are changed; always the same files
//     jpeg2000 read FOLDER            one line for each file, by name: exit status or signal, and checksum
//                                     of the pixels or message
//
// CMakeLists.txt builds it twice: as it is, and with jpeg2000_linked.cpp, which makes it need libpromem. What they
// print must be equal.

#include "itkGDCMImageIO.h"
#include "itkImageFileReader.h"
#include "itkImageFileWriter.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <regex>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace
{
using ImageType = itk::Image<short, 2>;
using Bytes = std::vector<char>;

// A reader that does not come back is stopped; both programs print the same signal then.
constexpr unsigned secondsPerFile = 30;

void
WriteValid(const std::string & path)
{
  const auto image = ImageType::New();
  image->SetRegions(ImageType::SizeType{ { 48, 40 } });
  image->Allocate();
  std::mt19937 random(7);
  for (itk::IndexValueType j = 0; j < 40; ++j)
  {
    for (itk::IndexValueType i = 0; i < 48; ++i)
    {
      image->SetPixel({ { i, j } }, static_cast<short>(20 * i - 10 * j + static_cast<int>(random() % 64)));
    }
  }
  const auto io = itk::GDCMImageIO::New();
  io->SetCompressionType(itk::GDCMImageIO::JPEG2000);
  const auto writer = itk::ImageFileWriter<ImageType>::New();
  writer->SetImageIO(io);
  writer->UseCompressionOn();
  writer->SetInput(image);
  writer->SetFileName(path);
  writer->Update();
}

int
Write(const std::string & folder, int count)
{
  const std::string valid = folder + "/000.dcm";
  WriteValid(valid);
  std::ifstream file(valid, std::ios::binary);
  const Bytes   bytes{ std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>() };
  // Start of a codestream and its first marker segment, image and tile size.
  const Bytes start{ '\xFF', '\x4F', '\xFF', '\x51' };
  const auto  codestream = std::search(bytes.begin(), bytes.end(), start.begin(), start.end());
  if (codestream == bytes.end())
  {
    std::cerr << valid << ": it holds no JPEG 2000 codestream\n";
    return 1;
  }
  const auto   first = static_cast<std::size_t>(codestream - bytes.begin());
  const auto   headers = std::min<std::size_t>(128, bytes.size() - first);
  std::mt19937 random(2000);
  for (int number = 1; number <= count; ++number)
  {
    Bytes damaged = bytes;
    // Every second file is damaged in its headers, the others anywhere in the codestream.
    const std::size_t among = number % 2 == 0 ? headers : bytes.size() - first;
    for (auto changes = 1 + random() % 8; changes > 0; --changes)
    {
      damaged[first + random() % among] = static_cast<char>(random() % 256);
    }
    char name[16];
    std::snprintf(name, sizeof name, "/%03d.dcm", number);
    std::ofstream(folder + name, std::ios::binary).write(damaged.data(), static_cast<std::streamsize>(damaged.size()));
  }
  return 0;
}

// What a message says without the addresses of objects.
std::string
OneLine(const std::string & message)
{
  return std::regex_replace(std::regex_replace(message, std::regex("0x[0-9a-f]+"), "0x"), std::regex("\\s+"), " ");
}

void
ReadOne(const std::string & path)
{
  try
  {
    const auto reader = itk::ImageFileReader<ImageType>::New();
    reader->SetImageIO(itk::GDCMImageIO::New());
    reader->SetFileName(path);
    reader->Update();
    const ImageType * const image = reader->GetOutput();
    const auto              size = image->GetBufferedRegion().GetSize();
    std::uint64_t           sum = 14695981039346656037U; // FNV-1a
    std::for_each_n(image->GetBufferPointer(), image->GetBufferedRegion().GetNumberOfPixels(), [&sum](short pixel) {
      sum = (sum ^ static_cast<std::uint16_t>(pixel)) * 1099511628211U;
    });
    std::cout << "pixels " << size[0] << 'x' << size[1] << ' ' << std::hex << sum << std::endl;
  }
  catch (const std::exception & error)
  {
    std::cout << "error " << OneLine(error.what()) << std::endl;
    _exit(1);
  }
  _exit(0);
}

// Each file in a process of its own, which starts as a copy of this one: the libraries are loaded once.
int
Read(const std::string & folder)
{
  std::vector<std::string> paths;
  for (const auto & entry : std::filesystem::directory_iterator(folder))
  {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string & path : paths)
  {
    std::cout << std::filesystem::path(path).filename().string() << ' ' << std::flush;
    const pid_t child = fork();
    if (child == 0)
    {
      alarm(secondsPerFile);
      ReadOne(path);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
    {
      std::cerr << "no process could be started\n";
      return 1;
    }
    std::cout << (WIFSIGNALED(status) ? "\nended by signal " : "ended with status ")
              << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)) << std::endl;
  }
  return paths.empty() ? 1 : 0;
}
} // namespace

int
main(int argc, char ** argv)
{
  const std::string verb = argc > 2 ? argv[1] : "";
  if (verb == "write" && argc == 4)
  {
    return Write(argv[2], std::stoi(argv[3]));
  }
  if (verb == "read" && argc == 3)
  {
    return Read(argv[2]);
  }
  std::cerr << "usage: jpeg2000 write FOLDER COUNT | read FOLDER\n";
  return 2;
}

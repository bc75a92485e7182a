// Segments a 3D image from prompts on a few slices. Header only; needs ITK 5, C++17 and the C library (CMake: ProMem::itk).

#ifndef itkProMemSegmentationImageFilter_h
#define itkProMemSegmentationImageFilter_h

#include "itkImage.h"
#include "itkImageToImageFilter.h"
#include "itkSimpleDataObjectDecorator.h"
#include "promem.hpp"

#include <map>

namespace itk
{
/** \class ProMemSegmentationImageFilter
 * \brief Segments objects in a CT or MR image from points, boxes or a few labelled slices.
 *
 * The image is walked slice by slice along one axis; what the prompts select on their slices is followed through the others. The output is a
 * label image on the input's grid: each object has the label of its prompts. Where objects overlap, the higher score on that slice wins.
 * A second output, SliceScores, has the score of each object on each slice: the predicted IoU of its mask.
 *
 * Prompts, any of them together:
 * - AddPoint: a point in physical space, inside the object or outside of it;
 * - AddRegion: a box of voxels, one voxel thick along the slice axis;
 * - SetPromptLabelImage: labels on the image's grid, of which the middle slice of each (or all slices) become masks.
 *
 * Progress comes as ProgressEvent after each slice. AbortGenerateData ends the filter after the slice that it is at, with ProcessAborted. What
 * the library refuses is an ExceptionObject with its message. Messages name voxels and slices by the image's own indices, which may begin
 * anywhere. The model stays loaded from one update to the next.
 *
 * \ingroup ProMem
 */
template <typename TInputImage, typename TLabelImage = Image<unsigned short, 3>>
class ITK_TEMPLATE_EXPORT ProMemSegmentationImageFilter : public ImageToImageFilter<TInputImage, TLabelImage>
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(ProMemSegmentationImageFilter);

  /** Standard class type aliases. */
  using Self = ProMemSegmentationImageFilter;
  using Superclass = ImageToImageFilter<TInputImage, TLabelImage>;
  using Pointer = SmartPointer<Self>;
  using ConstPointer = SmartPointer<const Self>;

  /** Methods for creation through the object factory. itkNewMacro would do the same, but ends with a semicolon in some versions of ITK. */
  itkSimpleNewMacro(Self);
  itkCreateAnotherMacro(Self);
  itkCloneMacro(Self);

  /** Run-time type information. */
  itkTypeMacro(ProMemSegmentationImageFilter, ImageToImageFilter);

  static constexpr unsigned int ImageDimension = TInputImage::ImageDimension;

  using InputImageType = TInputImage;
  using InputPixelType = typename TInputImage::PixelType;
  using LabelImageType = TLabelImage;
  using LabelPixelType = typename TLabelImage::PixelType;
  using IndexType = typename TInputImage::IndexType;
  using RegionType = typename TInputImage::RegionType;
  using PointType = typename TInputImage::PointType;

  static_assert(ImageDimension == 3 && TLabelImage::ImageDimension == 3, "the images have three dimensions");
  static_assert(std::is_arithmetic<InputPixelType>::value, "the image's pixels are numbers");
  static_assert(std::is_integral<LabelPixelType>::value, "labels are integers");

  /** Which slices of the prompt label image count. */
  enum class PromptSlicesEnum : uint8_t
  {
    Middle, // of each label, that in the middle of its extent, or the nearest to it that has the label
    All
  };
  using SliceAxisEnum = promem::Axis;
  using PropagationDirectionEnum = promem::Direction;
  using MemoryWindowsType = std::vector<std::uint32_t>;

  /** An object's predicted IoU by slice: the slice's index in the image along the slice axis. 1 for a mask that was given. */
  using ScoresOfSlicesType = std::map<IndexValueType, double>;
  /** The same by label. */
  using SliceScoresType = std::map<LabelPixelType, ScoresOfSlicesType>;

  /** A point in physical space that lies inside the object with this label (`positive`), or outside. Labels are 1 to 65535; 0 is the background. */
  void
  AddPoint(const PointType & point, bool positive = true, LabelPixelType label = 1);

  /** A box around the object with this label on one slice. */
  void
  AddRegion(const RegionType & region, LabelPixelType label = 1);

  /** Takes back points and regions; the prompt label image stays. */
  void
  ClearPrompts();

  /** Labelled slices, on the grid of the image. */
  itkSetInputMacro(PromptLabelImage, LabelImageType);
  itkGetInputMacro(PromptLabelImage, LabelImageType);
  itkSetEnumMacro(PromptSlices, PromptSlicesEnum);
  itkGetEnumMacro(PromptSlices, PromptSlicesEnum);

  /** The model's file, in UTF-8; empty (default): PROMEM_MODEL of the environment, else the default model of the installation. */
  itkSetStringMacro(ModelPath);
  itkGetStringMacro(ModelPath);

  /** "auto" (default), "cpu", "cuda" or "cuda:1". */
  itkSetStringMacro(Device);
  itkGetStringMacro(Device);

  /** "auto" (default), "fp32" or "bf16". */
  itkSetStringMacro(Precision);
  itkGetStringMacro(Precision);

  /** The axis that slices lie across; by default that of the largest spacing. */
  itkSetEnumMacro(SliceAxis, SliceAxisEnum);
  itkGetEnumMacro(SliceAxis, SliceAxisEnum);

  /** Both ways from the prompts (default), up towards higher indices or down. */
  itkSetEnumMacro(PropagationDirection, PropagationDirectionEnum);
  itkGetEnumMacro(PropagationDirection, PropagationDirectionEnum);

  /** No further than these indices along the slice axis, both inside. By default through the whole image. */
  void
  SetSliceRange(IndexValueType first, IndexValueType last);
  void
  ClearSliceRange();

  /** Memory windows to try on each slice, at most 6 of 1 to 6 slices each; empty (default): the method's. */
  void
  SetMemoryWindows(const MemoryWindowsType & windows);
  itkGetConstReferenceMacro(MemoryWindows, MemoryWindowsType);

  /** Memory banks kept from slice to slice; 0 (default): the method's. */
  itkSetMacro(Beams, unsigned int);
  itkGetConstMacro(Beams, unsigned int);

  /** Whether a walk ends where the object seems to end (default), or predicts every slice. */
  itkSetMacro(StopWhenAbsent, bool);
  itkGetConstMacro(StopWhenAbsent, bool);
  itkBooleanMacro(StopWhenAbsent);

  /** A walk goes on while the object is there with at least this probability; 0 (default): the model's. */
  itkSetMacro(PresenceThreshold, float);
  itkGetConstMacro(PresenceThreshold, float);

  /** The intensities that the network sees; a width of 0 (default): chosen from the image and the object. */
  itkSetMacro(WindowWidth, double);
  itkGetConstMacro(WindowWidth, double);
  itkSetMacro(WindowLevel, double);
  itkGetConstMacro(WindowLevel, double);

  /** The second output: the scores that the last update has found. A slice without a result of an object is not in its map. */
  itkGetDecoratedOutputMacro(SliceScores, SliceScoresType);

  /** The scores of one object; an exception for a label that has none. */
  const ScoresOfSlicesType &
  GetSliceScores(LabelPixelType label) const;

  using DataObjectIdentifierType = ProcessObject::DataObjectIdentifierType;
  using Superclass::MakeOutput;
  DataObject::Pointer
  MakeOutput(const DataObjectIdentifierType & name) override;

protected:
  ProMemSegmentationImageFilter();
  ~ProMemSegmentationImageFilter() override = default;

  void
  PrintSelf(std::ostream & os, Indent indent) const override;

  /** The input and the prompts are needed whole. */
  void
  GenerateInputRequestedRegion() override;

  /** The output is made whole. */
  void
  EnlargeOutputRequestedRegion(DataObject * output) override;

  /** Also compares the sizes of the image and the prompt label image. */
  void
  VerifyInputInformation() ITKv5_CONST override;

  void
  GenerateData() override;

  /** The image as the library sees it: its voxel 0,0,0 is the first of the largest region. Copies nothing. */
  static promem::Volume
  MakeVolume(const InputImageType * image);

private:
  struct PointPrompt
  {
    PointType     point;
    bool          positive;
    std::uint32_t object;
  };
  struct RegionPrompt
  {
    RegionType    region;
    std::uint32_t object;
  };

  std::uint32_t
  ObjectOf(LabelPixelType label) const;

  IndexType
  FirstIndex() const;

  promem::Index
  ToLibrary(const IndexType & index) const;

  void
  Segment(promem::Session & session);

  void
  LoadModel();

  void
  AddPrompts(promem::Session & session) const;

  void
  AddRegionPrompt(promem::Session & session, const RegionPrompt & prompt, unsigned int across) const;

  void
  AddLabelImage(promem::Session & session) const;

  void
  CheckPrompts(const promem::Session & session) const;

  void
  CheckMask(const promem::Session & session, std::uint32_t object, std::int64_t slice, unsigned int across) const;

  promem::PropagateOptions
  MakeOptions(const promem::Slices & slices) const;

  void
  ReadLabels(const promem::Session & session);

  void
  ReadScores(const promem::Session & session);

  void
  SetSliceScores(const SliceScoresType & scores);

  static const char *
  NameOf(PromptSlicesEnum which);
  static const char *
  NameOf(SliceAxisEnum axis);
  static const char *
  NameOf(PropagationDirectionEnum direction);

  std::vector<PointPrompt>  m_Points{};
  std::vector<RegionPrompt> m_Regions{};
  PromptSlicesEnum          m_PromptSlices{ PromptSlicesEnum::Middle };

  std::string m_ModelPath{};
  std::string m_Device{ "auto" };
  std::string m_Precision{ "auto" };

  SliceAxisEnum                                            m_SliceAxis{ SliceAxisEnum::largest_spacing };
  PropagationDirectionEnum                                 m_PropagationDirection{ PropagationDirectionEnum::both };
  std::optional<std::pair<IndexValueType, IndexValueType>> m_SliceRange{};
  MemoryWindowsType                                        m_MemoryWindows{};
  unsigned int                                             m_Beams{ 0 };
  bool                                                     m_StopWhenAbsent{ true };
  float                                                    m_PresenceThreshold{ 0.0F };
  double                                                   m_WindowWidth{ 0.0 };
  double                                                   m_WindowLevel{ 0.0 };

  /** What was loaded from these settings. */
  std::optional<promem::Model> m_Model{};
  std::array<std::string, 3>   m_Loaded{};
};
} // end namespace itk

#ifndef ITK_MANUAL_INSTANTIATION
#  include "itkProMemSegmentationImageFilter.hxx"
#endif

#endif // itkProMemSegmentationImageFilter_h

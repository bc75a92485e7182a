// What the filter says: of what it refuses, by the image's own indices, and of itself.

#ifndef messages_h
#define messages_h

#include "fixture.h"

class MessageTest : public Fixture
{
public:
  using Fixture::Fixture;

  void
  Refusals()
  {
    const auto missing = MaskFilter();
    missing->SetModelPath("/nowhere/model.pt");
    Refused(*missing, { "PROMEM_IO_ERROR", "/nowhere/model.pt" }, "a missing model is an ExceptionObject with the library's message");
    const auto device = MaskFilter();
    device->SetDevice("abacus");
    Refused(*device, { "PROMEM_INVALID_ARGUMENT", "abacus" }, "an unknown device is refused");

    const auto none = MaskFilter();
    none->SetPromptLabelImage(nullptr);
    Refused(*none, { "prompt" }, "a filter without prompts is refused");
    ScanType::PointType far;
    far.Fill(1e4);
    none->AddPoint(far);
    Refused(*none, { "point [10000, 10000, 10000]", "inside the image" }, "a point outside the image is refused");
    none->ClearPrompts();
    none->AddRegion({ boxFirst, { { 5, 2, 5 } } });
    Refused(*none, { "covers slices 15 to 16 along axis 1", "expected one slice" }, "a region of two slices is refused");
    none->ClearPrompts();
    none->AddRegion({ boxFirst, { { 5, 0, 5 } } });
    Refused(*none, { "at least one voxel" }, "an empty region is refused");
    none->ClearPrompts();

    const auto empty = LabelType::New();
    empty->CopyInformation(m_Prompts);
    empty->SetRegions(m_Prompts->GetLargestPossibleRegion());
    empty->Allocate(true);
    none->SetPromptLabelImage(empty);
    Refused(*none, { "holds no label" }, "a prompt label image without labels is refused");
    const auto small = LabelType::New();
    small->CopyInformation(m_Prompts);
    small->SetRegions(LabelType::SizeType{ { 112, 32, 95 } });
    small->Allocate(true);
    none->SetPromptLabelImage(small);
    Refused(*none, { "[112, 32, 95]", "[112, 32, 96]" }, "a prompt label image of another size is refused");
    const auto elsewhere = LabelType::New();
    elsewhere->SetRegions(m_Prompts->GetLargestPossibleRegion());
    elsewhere->Allocate(true);
    none->SetPromptLabelImage(elsewhere);
    Refused(*none, { "same physical space" }, "a prompt label image elsewhere is refused");
  }

  // Every setter that takes a label.
  void
  Labels()
  {
    const auto          filter = MaskFilter();
    ScanType::PointType point;
    point.Fill(0);
    const std::string background = "label 0 is the background, expected 1 to 65535";
    RefusedBy([&] { filter->AddPoint(point, true, 0); }, { background }, "a point of label 0 is refused: it is the background");
    RefusedBy([&] { filter->AddRegion({ boxFirst, { { 5, 1, 5 } } }, 0); }, { background }, "a region of label 0 is refused: it is the background");
    RefusedBy([&] { filter->GetSliceScores(0); }, { background }, "scores of label 0 are refused: it is the background");
    RefusedBy([&] { filter->GetSliceScores(7); }, { "label 7", "no slice scores" }, "scores of a label without any are refused");

    const auto numbers = itk::ProMemSegmentationImageFilter<ScanType, itk::Image<int, 3>>::New();
    RefusedBy([&] { numbers->AddPoint(point, true, 0); }, { background }, "a wide label 0 is the background, too");
    RefusedBy([&] { numbers->AddPoint(point, true, -3); }, { "label -3: expected 1 to 65535" }, "a negative label is named");
    RefusedBy([&] { numbers->AddPoint(point, true, 65536); }, { "label 65536: expected 1 to 65535" }, "a label that is too large is named");
  }

  // The image's indices begin at 5, -3, 100: what a message says is where its user finds it.
  void
  OwnIndices()
  {
    const auto scan = Shifted();
    const auto start = scan->GetLargestPossibleRegion().GetIndex();
    const auto at = [&](itk::IndexValueType i, itk::IndexValueType j, itk::IndexValueType k) {
      return IndexType{ { start[0] + i, start[1] + j, start[2] + k } };
    };
    const auto point = [&](const IndexType & index) { return scan->TransformIndexToPhysicalPoint<double>(index); };
    const auto filter = NewFilter<LabelType>(scan);

    filter->AddPoint(point(at(-1, 0, 0)));
    Refused(*filter, { "index [4, -3, 100]", "indices are [5, -3, 100] to [116, 28, 195]" }, "a point outside: the image's indices");
    filter->ClearPrompts();
    filter->AddRegion({ at(110, 3, 4), { { 9, 1, 5 } } }, 2);
    Refused(*filter, { "label 2, indices [115, 0, 104] to [123, 0, 108]", "[5, -3, 100] to [116, 28, 195]" }, "a region outside: the image's indices");
    filter->ClearPrompts();
    filter->AddRegion({ at(10, 3, 4), { { 9, 2, 5 } } }, 2);
    Refused(*filter, { "covers slices 0 to 1 along axis 1", "expected one slice" }, "a region of two slices: the image's indices");

    filter->ClearPrompts();
    filter->AddPoint(point(at(40, 14, 40)));
    filter->SetSliceRange(0, 29);
    Refused(*filter, { "slice range 0 to 29", "between -3 and 28" }, "a slice range outside: the image's indices");
    filter->SetSliceRange(9, 3);
    Refused(*filter, { "slice range 9 to 3", "rising" }, "a slice range that falls: the image's indices");
    filter->SetSliceRange(12, 20);
    Refused(*filter, { "label 1: its prompt on slice 11", "slice range 12 to 20" }, "a prompt outside the slice range: the image's indices");
    filter->ClearSliceRange();
    filter->AddPoint(point(at(40, 16, 40)), false, 3);
    Refused(*filter, { "label 3, slice 13", "only points outside the object" }, "only points outside the object: the image's indices");

    filter->ClearPrompts();
    filter->AddPoint(point(at(40, 14, 40)));
    filter->SetBeams(99);
    Refused(*filter, { "beams 99", "count from 0 at the image's index [5, -3, 100]" }, "the library's own words come with where it counts from");
  }

  void
  Printing()
  {
    const auto         filter = MaskFilter();
    std::ostringstream before;
    filter->Print(before);
    Says(before.str(),
         { "PromptSlices: Middle", "SliceAxis: largest_spacing", "PropagationDirection: both", "SliceRange: 10 to 20", "Beams: 0 (the method's)",
           "MemoryWindows: (the method's)", "PresenceThreshold: 0 (the model's)", "WindowWidth: 400", "WindowLevel: 40", "Device: auto", "Precision: auto" },
         "a filter prints its settings in words");
    ScanType::PointType point;
    point.Fill(2.5);
    filter->AddPoint(point, false, 4);
    filter->AddRegion({ boxFirst, { { 5, 1, 5 } } }, 2);
    filter->SetPromptSlices(Filter<LabelType>::PromptSlicesEnum::All);
    filter->SetSliceAxis(promem::Axis::k);
    filter->SetPropagationDirection(promem::Direction::down);
    filter->SetModelPath("");
    filter->SetMemoryWindows({ 1, 4 });
    filter->ClearSliceRange();
    std::ostringstream after;
    filter->Print(after);
    Says(after.str(),
         { "label 4, outside: [2.5, 2.5, 2.5]", "label 2: index [60, 15, 20], size [5, 1, 5]", "PromptSlices: All", "SliceAxis: k",
           "PropagationDirection: down", "ModelPath: (default model)", "MemoryWindows: 1 4", "SliceRange: (whole image)" },
         "and what was changed, prompts too");
  }

private:
  static void
  Says(const std::string & text, const std::vector<std::string> & words, const std::string & sentence)
  {
    std::string missing;
    for (const std::string & word : words)
    {
      if (text.find(word) == std::string::npos)
      {
        missing += (missing.empty() ? "; missing: " : ", ") + word;
      }
    }
    Check(missing.empty(), missing.empty() ? sentence : sentence + missing + "; found: " + text);
  }

  template <typename TCall>
  void
  RefusedBy(TCall call, const std::vector<std::string> & words, const std::string & sentence)
  {
    std::string found = "nothing";
    try
    {
      call();
    }
    catch (const itk::ExceptionObject & error)
    {
      found = error.GetDescription();
    }
    Says(found, words, sentence);
  }

  template <typename TFilter>
  void
  Refused(TFilter & filter, const std::vector<std::string> & words, const std::string & sentence)
  {
    RefusedBy([&] { filter.Update(); }, words, sentence);
  }
};

#endif // messages_h

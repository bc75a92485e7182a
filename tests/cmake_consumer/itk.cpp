#include <itkProMemSegmentationImageFilter.h>

#include <iostream>

using ImageType = itk::Image<short, 3>;
using LabelType = itk::Image<unsigned short, 3>;

template <typename TImage>
typename TImage::Pointer NewImage() {
    const auto image = TImage::New();
    image->SetRegions(typename TImage::SizeType{{64, 48, 9}});
    const double spacing[] = {1, 1, 3};
    image->SetSpacing(spacing);
    image->Allocate(true);
    return image;
}

int main() try {
    const auto image = NewImage<ImageType>();
    const auto prompts = NewImage<LabelType>();
    for (int i = 20; i < 44; ++i)
        for (int j = 16; j < 32; ++j) {
            prompts->SetPixel({{i, j, 4}}, 7);
            for (int k = 2; k < 7; ++k) image->SetPixel({{i, j, k}}, 200);
        }

    const auto filter = itk::ProMemSegmentationImageFilter<ImageType, LabelType>::New();
    filter->SetInput(image);
    filter->SetPromptLabelImage(prompts);  // object 7, as it is on slice 4
    const double inside[] = {30, 20, 12};  // object 9 from a click: left, posterior, superior in millimetres
    filter->AddPoint(inside, true, 9);
    filter->Update();
    std::cout << "label " << filter->GetOutput()->GetPixel({{40, 30, 4}}) << " in the middle\n";
} catch (const itk::ExceptionObject &error) {
    std::cerr << error.GetDescription() << '\n';
    return 1;
}

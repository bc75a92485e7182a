#include <promem.hpp>

#include <iostream>

int main() try {
    std::vector<float> voxels(64 * 48 * 9, -100.0F);
    for (int k = 2; k < 7; ++k)
        for (int j = 16; j < 32; ++j)
            for (int i = 20; i < 44; ++i) voxels[(k * 48 + j) * 64 + i] = 200.0F;

    const promem::Model model;
    promem::Session session(model, promem::Volume(voxels.data(), {64, 48, 9}).spacing({1, 1, 3}));
    session.add_box(1, {20, 16, 4}, {43, 31, 4});
    session.propagate({}, [](const promem_progress &progress) {
        std::cout << progress.done << " of " << progress.expected << '\n';
        return true;  // go on
    });
    const std::vector<std::uint16_t> labels = session.labels();
    std::cout << "libpromem " << promem::version() << ": " << labels.size() << " labels\n";
} catch (const promem::Error &error) {
    std::cerr << promem_status_name(error.status()) << ": " << error.what() << '\n';
    return 1;
}

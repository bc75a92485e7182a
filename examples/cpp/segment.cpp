// Segments a generated scan in the background, from two clicks, and shows what becomes ready.
//
//     segment [MODEL]       without: PROMEM_MODEL of the environment, else the default model

#include "promem.hpp"

#include <cstdio>

namespace {

constexpr std::array<std::uint64_t, 3> dims{64, 48, 9};

// A bright ball in the middle.
std::vector<float> ball() {
    std::vector<float> scan;
    for (int k = 0; k < 9; ++k)
        for (int j = 0; j < 48; ++j)
            for (int i = 0; i < 64; ++i) {
                const int x = i - 32, y = j - 24, z = 3 * (k - 4);
                scan.push_back(x * x + y * y + z * z < 14 * 14 ? 200.0F : -100.0F);
            }
    return scan;
}

void show(const promem::Job &job) {
    for (const promem_slice_result &ready : job.take_ready())
        std::printf("object %u, slice %d: score %.3f\n", ready.object, static_cast<int>(ready.slice), ready.score);
}

}  // namespace

int main(int argc, char **argv) try {
    const promem::Model model(argc > 1 ? argv[1] : "");
    const promem::ModelInfo info = model.info();
    std::printf("libpromem %s, %s on %s in %s\n", promem::version().c_str(), info.network.c_str(), info.device.c_str(), info.precision.c_str());

    const std::vector<float> scan = ball();
    promem::Session session(model, promem::Volume(scan.data(), dims).spacing({1, 1, 3}));
    session.add_point(1, {32, 24, 4});
    session.add_point(1, {5, 5, 4}, false);

    promem::PropagateOptions options;
    options.range = {2, 6};
    options.never_stop = true;
    const promem::Job job = session.start_propagate(options);
    while (!job.wait_for(std::chrono::milliseconds(100))) show(job);
    show(job);
    job.wait();  // throws if it did not end well

    const std::vector<std::uint16_t> labels = session.labels();
    std::printf("%d voxels\n", static_cast<int>(labels.size() - static_cast<std::size_t>(std::count(labels.begin(), labels.end(), 0))));
    return 0;
} catch (const promem::Error &error) {
    std::fprintf(stderr, "%s: %s\n", promem_status_name(error.status()), error.what());
    return 1;
}

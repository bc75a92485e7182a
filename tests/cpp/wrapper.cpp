// What promem.hpp adds to promem.h. Arguments: a model. Prints one line for each check.
#include "promem.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>

std::string version_from_the_other_unit();

namespace {

int failed = 0;
int passed = 0;

void check(bool holds, const char *sentence) {
    ++(holds ? passed : failed);
    std::printf("%s %s\n", holds ? "ok    " : "FAILED", sentence);
}

// The status of the Error that `work` throws, PROMEM_OK where it throws none.
template <typename Work> promem_status status_of(Work work, std::string *message = nullptr) {
    try {
        work();
    } catch (const promem::Error &error) {
        if (message != nullptr) *message = error.what();
        return error.status();
    }
    return PROMEM_OK;
}

constexpr std::array<std::uint64_t, 3> dims{48, 40, 9};
constexpr std::size_t count = 48 * 40 * 9;
constexpr std::size_t pixels = 48 * 40;

bool inside(std::size_t i, std::size_t j, std::size_t k, double radius) {
    const double x = static_cast<double>(i) - 22, y = static_cast<double>(j) - 17, z = 3 * (static_cast<double>(k) - 4);
    return x * x + y * y + z * z < radius * radius;
}

std::vector<float> ball(double radius) {
    std::vector<float> scan;
    for (std::size_t k = 0; k < dims[2]; ++k)
        for (std::size_t j = 0; j < dims[1]; ++j)
            for (std::size_t i = 0; i < dims[0]; ++i) scan.push_back(inside(i, j, k, radius) ? 200.0F : static_cast<float>(i + j) - 100.0F);
    return scan;
}

std::vector<std::uint8_t> cut(double radius) {
    std::vector<std::uint8_t> mask;
    for (std::size_t j = 0; j < dims[1]; ++j)
        for (std::size_t i = 0; i < dims[0]; ++i) mask.push_back(inside(i, j, 4, radius));
    return mask;
}

// Five slices are enough, and all of them are wanted.
promem::PropagateOptions walk() {
    promem::PropagateOptions options;
    options.range = {2, 6};
    options.never_stop = true;
    return options;
}

promem::Session session_of(const promem::Model &model, const std::vector<float> &scan, double radius) {
    promem::Session session(model, promem::Volume(scan.data(), dims).spacing({1, 1, 3}));
    session.add_mask(1, 4, cut(radius));
    return session;
}

std::vector<std::uint16_t> alone(const promem::Model &model, const std::vector<float> &scan, double radius) {
    promem::Session session = session_of(model, scan, radius);
    session.propagate(walk());
    return session.labels();
}

std::size_t slices_with_scores(const promem::Session &session) {
    const std::vector<double> scores = session.scores(1);
    return static_cast<std::size_t>(std::count_if(scores.begin(), scores.end(), [](double score) { return !std::isnan(score); }));
}

void values() {
    using promem::detail::scalar_type;
    static_assert(scalar_type<std::int8_t>() == PROMEM_INT8 && scalar_type<std::uint8_t>() == PROMEM_UINT8);
    static_assert(scalar_type<short>() == PROMEM_INT16 && scalar_type<unsigned short>() == PROMEM_UINT16);
    static_assert(scalar_type<std::int32_t>() == PROMEM_INT32 && scalar_type<std::uint32_t>() == PROMEM_UINT32);
    static_assert(scalar_type<long long>() == PROMEM_INT64 && scalar_type<std::uint64_t>() == PROMEM_UINT64);
    static_assert(scalar_type<float>() == PROMEM_FLOAT32 && scalar_type<double>() == PROMEM_FLOAT64);
    static_assert(!std::is_copy_constructible_v<promem::Model> && std::is_nothrow_move_constructible_v<promem::Model>);
    static_assert(!std::is_copy_assignable_v<promem::Session> && std::is_nothrow_move_assignable_v<promem::Session>);
    static_assert(!std::is_copy_constructible_v<promem::Job> && std::is_nothrow_move_constructible_v<promem::Job>);

    check(promem::version() == version_from_the_other_unit() && !promem::version().empty(), "two translation units see one library");
    check(promem::devices().at(0) == "cpu", "the first device is the CPU");

    const float voxel = 0;
    const auto volume = promem::Volume(&voxel, {1, 1, 1}).ijk_to_lps({{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}});
    const double ras[3][4] = {{-1, -2, -3, -4}, {-5, -6, -7, -8}, {9, 10, 11, 12}};
    check(std::memcmp(ras, volume.get().ijk_to_ras, sizeof ras) == 0, "left and posterior turn into right and anterior, superior stays");

    promem::PropagateOptions options = walk();
    options.windows = {1, 2, 3};
    options.include_prompt = promem::Choice::no;
    options.prior = promem::Prior::registered;
    options.presence_threshold = 0.25F;
    options.accept_iou = 0.5F;
    options.intensity_weight = -1;
    const promem_propagate_options c = options.c_options();
    check(c.struct_size == sizeof c && c.use_range == 1 && c.first_slice == 2 && c.last_slice == 6 && c.never_stop == 1 && c.windows[2] == 3 &&
              c.windows[3] == 0 && c.include_prompt == PROMEM_NO && c.prior == PROMEM_PRIOR_REGISTERED && c.all_pointers == PROMEM_DEFAULT && c.presence_threshold > 0.2F && c.accept_iou > 0.4F && c.intensity_weight < 0,
          "options arrive in the C struct");
    options.windows.assign(7, 1);
    check(status_of([&] { options.c_options(); }) == PROMEM_INVALID_ARGUMENT, "seven windows are refused");
}

void lifecycle(const std::string &path, const std::vector<float> &scan, const std::vector<std::uint16_t> &expected) {
    std::string message;
    check(status_of([] { promem::Model("/nowhere/model.pt"); }, &message) == PROMEM_IO_ERROR && message.find("/nowhere/model.pt") < message.size(),
          "a missing model is an Error with the library's status and message");

    auto model = std::make_unique<promem::Model>(path);
    check(model->info().network == "toy" && model->info().path == path && model->metadata("promem.licence") == "CC0-1.0", "a model describes itself");
    promem::Session session = session_of(*model, scan, 11);
    model.reset();
    session.propagate(walk());
    check(session.labels() == expected, "a session outlives its model");

    const promem::Slices slices = session.slices();
    check(slices.axis == promem::Axis::k && slices.count == 9 && slices.rows == 40 && slices.columns == 48, "slices lie across the largest spacing");
    const std::vector<promem_prompt> prompts = session.prompts();
    check(prompts.size() == 1 && prompts[0].object == 1 && prompts[0].slice == 4 && prompts[0].has_mask == 1, "prompts are listed");
    check(slices_with_scores(session) == 5 && session.scores(1).at(4) == 1.0, "every slice of the range has a score, and the given mask's is 1");

    const promem::Extent box{{10, 8, 3}, {30, 25, 5}};
    std::vector<std::uint16_t> part;
    for (std::size_t k = 3; k <= 5; ++k)
        for (std::size_t j = 8; j <= 25; ++j)
            for (std::size_t i = 10; i <= 30; ++i) part.push_back(expected[(k * 40 + j) * 48 + i]);
    check(session.labels(box) == part, "an extent is a part of the whole");
    const std::vector<std::uint8_t> mask = session.mask(1);
    check(std::equal(mask.begin(), mask.end(), expected.begin(), expected.end()), "the only object's mask is the label map");
    check(status_of([&] { session.labels(promem::Extent{{0, 0, 0}, {std::int64_t{1} << 40, 39, 8}}); }) == PROMEM_INVALID_ARGUMENT,
          "an extent outside the volume is refused without allocating it");
    const std::optional<promem::Extent> changed = session.take_changes();
    check(changed && changed->first[2] == 2 && changed->last[2] == 6 && !session.take_changes(), "changes are the range's slices, once");

    const promem::Prediction preview = session.predict_slice(1, 4);
    check(preview.mask == cut(11) && preview.score == 1.0, "a given mask is its slice's prediction");
    session.clear_prompts();
    check(session.prompts().empty() && status_of([&] { session.propagate(); }) == PROMEM_INVALID_ARGUMENT, "without prompts nothing is propagated");
}

void moves(const promem::Model &model, const std::vector<float> &scan, const std::vector<std::uint16_t> &expected) {
    promem::Session first = session_of(model, scan, 11);
    promem::Session second = std::move(first);
    check(status_of([&] { first.propagate(); }) == PROMEM_NULL_ARGUMENT, "what was moved from is refused");
    check(status_of([&] { first.labels(); }) == PROMEM_NULL_ARGUMENT, "also for reading");
    second.propagate(walk());
    first = std::move(second);
    check(first.labels() == expected, "a handle moves there and back");
}

void callbacks(const promem::Model &model, const std::vector<float> &scan, const std::vector<std::uint16_t> &expected) {
    struct Planted {
        int number;
    };
    promem::Session session = session_of(model, scan, 11);
    int calls = 0, caught = 0;
    try {
        session.propagate(walk(), [&](const promem_progress &) -> bool {
            if (++calls == 2) throw Planted{42};
            return true;
        });
    } catch (const Planted &planted) {
        caught = planted.number;
    }
    check(caught == 42 && calls == 2, "an exception of a callback stops the walk and comes out");
    check(slices_with_scores(session) == 2, "what was done before it is kept");

    std::uint64_t done = 0;
    bool rises = true;
    session.propagate(walk(), [&](const promem_progress &progress) {
        rises = rises && progress.done >= done && progress.done <= progress.expected;
        done = progress.done;
        return true;
    });
    check(rises && done == 5, "progress rises to the number of slices");
    check(session.labels() == expected, "after it the session goes on to the same result");

    promem::Session other = session_of(model, scan, 11);
    calls = 0;
    const promem_status status = status_of([&] { other.propagate(walk(), [&](const promem_progress &) { return ++calls < 3; }); });
    check(status == PROMEM_CANCELLED && calls == 3 && slices_with_scores(other) == 3, "a callback that answers false cancels; what was done is kept");
    calls = 0;
    const promem_status by_call = status_of([&] {
        promem::Session third = session_of(model, scan, 11);
        third.propagate(walk(), [&](const promem_progress &) {
            ++calls;
            third.cancel();
            return true;
        });
    });
    check(by_call == PROMEM_CANCELLED && calls == 1, "cancel ends it from inside a callback, too");

    std::string message;
    check(status_of([&] { session.propagate(walk(), [](const promem_progress &) -> bool { throw promem::Error(PROMEM_IO_ERROR, "planted"); }); },
                    &message) == PROMEM_IO_ERROR && message == "planted",
          "an Error of a callback comes out as it is, not as that of the cancelled call");
    calls = 0;
    std::optional<promem::Session> freed(session_of(model, scan, 11));
    const promem_status by_free = status_of([&] {
        freed->propagate(walk(), [&](const promem_progress &) {
            if (++calls == 2) freed.reset();
            return true;
        });
    });
    check(by_free == PROMEM_CANCELLED && calls == 2, "a session that its callback destroys ends when the call returns");
}

// A walk of seconds, to have time to end it.
promem::Session long_session_of(const promem::Model &model, const std::vector<float> &scan) {
    promem::Session session(model, promem::Volume(scan.data(), {48, 40, scan.size() / pixels}).spacing({1, 1, 3}));
    session.add_mask(1, 4, cut(11));
    return session;
}

void jobs(const promem::Model &model, const std::vector<float> &scan, const std::vector<std::uint16_t> &expected) {
    promem::Session session = session_of(model, scan, 11);
    const promem::Job job = session.start_propagate(walk());
    job.wait();
    check(job.poll().running == 0 && job.poll().done == 5 && job.wait_for(std::chrono::milliseconds(0)), "a job tells that it has ended");
    std::vector<std::int64_t> ready;
    for (const promem_slice_result &result : job.take_ready()) ready.push_back(result.slice);
    std::sort(ready.begin(), ready.end());
    check(ready == std::vector<std::int64_t>({2, 3, 4, 5, 6}) && job.take_ready().empty(), "every slice becomes ready once");
    check(session.labels() == expected, "a job finds what a call finds");

    const std::vector<float> long_scan(pixels * 500, 100.0F);
    promem::PropagateOptions all;
    all.never_stop = true;
    promem::Session longer = long_session_of(model, long_scan);
    promem::Job stopped = longer.start_propagate(all);
    check(!stopped.wait_for(std::chrono::milliseconds(1)) && stopped.poll().running == 1, "a job runs in the background");
    check(status_of([&] { longer.reset(); }) == PROMEM_BUSY, "its session is busy meanwhile");
    stopped.cancel();
    std::string message;
    check(status_of([&] { stopped.wait(); }, &message) == PROMEM_CANCELLED && message.find("cancelled") == 0, "a cancelled job says so with its own message");
    check(status_of([&] { longer.reset(); }) == PROMEM_OK, "then its session is free again");

    longer.add_mask(1, 4, cut(11));
    { const promem::Job dropped = longer.start_propagate(all); }
    check(status_of([&] { longer.reset(); }) == PROMEM_OK && slices_with_scores(longer) == 0, "a job that is destroyed has ended");

    std::optional<promem::Session> gone(long_session_of(model, long_scan));
    promem::Job left = gone->start_propagate(all);
    gone.reset();
    check(status_of([&] { left.wait(); }) == PROMEM_CANCELLED && left.poll().done < 500, "a job outlives its session, which ends it");
    const promem::Job moved = std::move(left);
    check(moved.poll().running == 0 && status_of([&] { left.poll(); }) == PROMEM_NULL_ARGUMENT, "a job moves");
}

void threads(const promem::Model &model, const std::vector<float> &scan, const std::vector<std::uint16_t> &expected) {
    const std::vector<float> small = ball(7);
    const std::vector<std::uint16_t> expected_small = alone(model, small, 7);
    std::vector<std::uint16_t> found, found_small;
    std::thread one([&] { found = alone(model, scan, 11); });
    std::thread two([&] { found_small = alone(model, small, 7); });
    one.join();
    two.join();
    check(expected != expected_small, "two scans differ");
    check(found == expected && found_small == expected_small, "two sessions on two threads find what each finds alone");
}

void memory(const promem::Model &model, const std::vector<float> &scan, const std::vector<std::uint16_t> &expected) {
    std::vector<float> upside_down;
    for (std::size_t k = dims[2]; k-- > 0;)
        upside_down.insert(upside_down.end(), scan.begin() + static_cast<std::ptrdiff_t>(k * pixels), scan.begin() + static_cast<std::ptrdiff_t>((k + 1) * pixels));
    const float *const last = upside_down.data() + (dims[2] - 1) * pixels;
    const auto view = promem::Volume(last, dims).spacing({1, 1, 3}).strides({4, 4 * 48, -4 * static_cast<std::int64_t>(pixels)});
    promem::Session walked(model, view);
    walked.add_mask(1, 4, cut(11));
    walked.propagate(walk());
    check(walked.labels() == expected, "strides lead through the caller's memory");

    std::vector<float> passing = scan;
    promem::SessionOptions options;
    options.copy_voxels = true;
    promem::Session copied(model, promem::Volume(passing.data(), dims).spacing({1, 1, 3}), options);
    std::fill(passing.begin(), passing.end(), 0.0F);
    copied.add_mask(1, 4, cut(11));
    copied.propagate(walk());
    check(copied.labels() == expected, "copied voxels may change");

    options.axis = promem::Axis::i;
    check(promem::Session(model, promem::Volume(scan.data(), dims), options).slices().count == 48, "a session's axis can be chosen");
}

void prompts(const promem::Model &model, const std::vector<float> &scan) {
    promem::Session session = session_of(model, scan, 11);
    session.add_scribble(1, {{22, 17, 3}, {24, 17, 5}});
    const std::vector<promem_prompt> scribbled = session.prompts();
    check(scribbled.size() == 3 && scribbled[0].slice == 3 && scribbled[0].points > 0 && scribbled[1].prompts == 2,
          "a scribble lies on every slice that it crosses");
    check(session.undo(1) && session.prompts().size() == 1, "undo takes the scribble back");

    std::vector<std::uint8_t> left = cut(11);
    for (std::size_t n = 0; n < pixels; ++n)
        if (n % 48 <= 20) left[n] = 0;
    session.add_lasso(1, {{0, 0, 4}, {20, 0, 4}, {20, 39, 4}, {0, 39, 4}}, false);
    check(session.predict_slice(1, 4).mask == left, "a lasso takes a region away from the mask");
    session.undo(1);
    session.add_box_3d(1, {0, 0, 3}, {20, 39, 5}, false);
    check(session.predict_slice(1, 4).mask == left, "a box takes voxels away from the mask");
    check(session.undo(1) && session.undo(1) && !session.undo(1), "undo says where nothing is left");
    check(status_of([&] { session.add_scribble(1, {}); }) == PROMEM_NULL_ARGUMENT, "a scribble without voxels is refused");

    std::vector<std::uint16_t> known(count);
    for (std::size_t n = 0; n < count; ++n) known[n] = scan[n] > 150 ? 5 : 0;
    session.set_initial(known);
    check(session.labels() == known, "masks that exist are the result");
    session.reset();
    session.add_box_3d(2, {12, 8, 3}, {30, 26, 5});
    session.propagate();
    const std::vector<double> scores = session.scores(2);
    check(!std::isnan(scores[4]) && std::isnan(scores[2]) && std::isnan(scores[6]), "a box over several slices bounds the propagation");
}

void log(const std::string &path) {
    std::vector<std::string> lines;
    promem::set_log([&](std::int32_t, const char *, const char *line) { lines.emplace_back(line); });
    promem::Model{path};
    const std::size_t heard = lines.size();
    check(heard > 0 && lines[0].find("toy") < lines[0].size(), "the log tells what was loaded");
    promem::set_log([](std::int32_t, const char *, const char *) { throw 1; });
    check(status_of([&] { promem::Model{path}; }) == PROMEM_OK, "an exception of a log callback is dropped");
    promem::set_log(nullptr);
    promem::Model{path};
    check(lines.size() == heard, "a log callback that was taken back is not called");
}

}  // namespace

int main(int argc, char **argv) try {
    if (argc != 2) return std::fputs("usage: wrapper MODEL\n", stderr), 2;
    const promem::Model model(argv[1]);
    const std::vector<float> scan = ball(11);
    const std::vector<std::uint16_t> expected = alone(model, scan, 11);
    const auto outside = static_cast<std::size_t>(std::count(expected.begin(), expected.end(), 0));
    check(expected.size() == count && outside > 4 * pixels && outside < count, "a walk finds something on the slices of its range");

    values();
    lifecycle(argv[1], scan, expected);
    moves(model, scan, expected);
    callbacks(model, scan, expected);
    jobs(model, scan, expected);
    threads(model, scan, expected);
    memory(model, scan, expected);
    prompts(model, scan);
    log(argv[1]);
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
} catch (const std::exception &error) {
    std::printf("FAILED an unexpected exception: %s\n", error.what());
    return 1;
}

// ProMem for C++17: promem.h with owners, values and exceptions. Header only; link the C library.
//
//     promem::Model model;                                                     // the default model, the best device
//     promem::Session session(model, promem::Volume(voxels, {512, 512, 120}).spacing({0.8, 0.8, 2.5}));
//     session.add_mask(1, 60, mask);                                           // object 1 on slice 60
//     session.propagate();
//     std::vector<std::uint16_t> labels = session.labels();
//
// promem.h says what the functions do; this file says what C++ adds.
//
// Errors. Every status but PROMEM_OK becomes a promem::Error, also PROMEM_CANCELLED.
//
// Ownership. Model, Session and Job own one handle each; they move and do not copy. What was moved from may be assigned
// to and destroyed; other use is an Error (PROMEM_NULL_ARGUMENT). A Volume owns nothing: its voxels must outlive the
// session, unless SessionOptions::copy_voxels is set.
//
// Threads. Const functions may be called from any thread at any time. Of the others of a Session one may run at a time;
// a second is an Error (PROMEM_BUSY). Moving and destroying are for one thread alone, as ever, and not for the
// session's own callback.
//
// Callbacks may throw: the propagation stops, and the exception comes out of the function that was called, when the C
// call has returned. They must not jump (longjmp) or end their thread (pthread_exit).

#ifndef PROMEM_HPP
#define PROMEM_HPP

#include "promem.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace promem {

// A status that is not PROMEM_OK; what() is the library's message.
class Error : public std::runtime_error {
public:
    Error(promem_status status, const std::string &message) : std::runtime_error(message), status_(status) {}
    promem_status status() const noexcept { return status_; }
    // Somebody asked to stop; what was done is kept.
    bool cancelled() const noexcept { return status_ == PROMEM_CANCELLED; }

private:
    promem_status status_;
};

// Called after each slice on the thread that called; false stops. An exception stops, too, and comes out of the
// function that was called.
using ProgressCallback = std::function<bool(const promem_progress &)>;

namespace detail {

// The one place where a status becomes an exception.
inline void check(promem_status status, const std::string &message) {
    if (status != PROMEM_OK) throw Error(status, message);
}

inline void check(promem_status status) {
    check(status, status == PROMEM_OK ? std::string() : std::string(promem_last_error_message()));
}

// Once in a process: that header and library fit.
inline void check_abi() {
    static const bool fits = [] {
        const std::uint32_t found = promem_abi_version();
        const bool same = found == PROMEM_ABI_VERSION;
        check(same ? PROMEM_OK : PROMEM_UNSUPPORTED, "libpromem: interface " + std::to_string(found) +
                                                         ", the program was compiled for " + std::to_string(PROMEM_ABI_VERSION));
        return same;
    }();
    static_cast<void>(fits);
}

// What a callback is called through, so that no exception crosses C.
struct Receiver {
    const ProgressCallback &callback;
    std::exception_ptr thrown = nullptr;

    static std::int32_t receive(const promem_progress *progress, void *receiver) noexcept {
        auto &self = *static_cast<Receiver *>(receiver);
        try {
            return self.callback(*progress) ? 1 : 0;
        } catch (...) {
            self.thrown = std::current_exception();
            return 0;
        }
    }
};

struct Free {
    void operator()(promem_model *model) const noexcept { promem_model_free(model); }
    void operator()(promem_session *session) const noexcept { promem_session_free(session); }
    void operator()(promem_job *job) const noexcept { promem_job_free(job); }
};

template <typename T> constexpr std::uint32_t scalar_type() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && sizeof(T) <= 8, "voxels are integers or float or double");
    constexpr std::uint32_t bytes = sizeof(T);
    if constexpr (std::is_floating_point_v<T>) {
        return bytes == 4 ? PROMEM_FLOAT32 : PROMEM_FLOAT64;
    } else {
        constexpr std::uint32_t wide = bytes == 1 ? PROMEM_INT8 : bytes == 2 ? PROMEM_INT16 : bytes == 4 ? PROMEM_INT32 : PROMEM_INT64;
        return std::is_signed_v<T> ? wide : wide + 1;
    }
}

}  // namespace detail

// Indices of a voxel along i, j and k.
using Index = std::array<std::int64_t, 3>;
// Rows of the upper part of a 4x4 matrix.
using Matrix = std::array<std::array<double, 4>, 3>;

enum class Axis : std::uint32_t { largest_spacing = PROMEM_AXIS_AUTO, i = PROMEM_AXIS_I, j = PROMEM_AXIS_J, k = PROMEM_AXIS_K };
enum class Direction : std::uint32_t { both = PROMEM_BOTH, up = PROMEM_UP, down = PROMEM_DOWN };
enum class Memory : std::uint32_t { search = PROMEM_SEARCH, sam2 = PROMEM_SAM2 };
enum class Choice : std::uint32_t { as_method = PROMEM_DEFAULT, no = PROMEM_NO, yes = PROMEM_YES };
enum class Prior : std::uint32_t { as_model = PROMEM_DEFAULT, none = PROMEM_PRIOR_NONE, previous = PROMEM_PRIOR_PREVIOUS, registered = PROMEM_PRIOR_REGISTERED };
enum class View : std::uint32_t { as_model = PROMEM_DEFAULT, slice = PROMEM_VIEW_SLICE, object = PROMEM_VIEW_OBJECT };

// A box of voxels: first and last index along i, j and k, both inside.
struct Extent {
    Index first{};
    Index last{};
    bool operator==(const Extent &other) const { return first == other.first && last == other.last; }
    bool operator!=(const Extent &other) const { return !(*this == other); }
};

// A scan in the caller's memory, and where it lies in the patient. Owns nothing.
class Volume {
public:
    // Contiguous voxels, i fastest; 1 mm apart along right, anterior and superior until something else is said.
    template <typename T> Volume(const T *voxels, const std::array<std::uint64_t, 3> &dims) {
        detail::check(promem_volume_init(&volume_, sizeof volume_));
        volume_.scalar_type = detail::scalar_type<T>();
        volume_.voxels = voxels;
        std::copy(dims.begin(), dims.end(), volume_.dims);
    }
    // Bytes from a voxel to the next along i, j and k.
    Volume &strides(const Index &bytes) {
        std::copy(bytes.begin(), bytes.end(), volume_.strides);
        return *this;
    }
    // Millimetres between voxels, the axes along right, anterior and superior.
    Volume &spacing(const std::array<double, 3> &mm) {
        return ijk_to_ras({{{mm[0], 0, 0, 0}, {0, mm[1], 0, 0}, {0, 0, mm[2], 0}}});
    }
    Volume &ijk_to_ras(const Matrix &matrix) {
        for (std::size_t row = 0; row < 3; ++row) std::copy(matrix[row].begin(), matrix[row].end(), volume_.ijk_to_ras[row]);
        return *this;
    }
    // The same for who counts to the left, posterior and superior, as DICOM and ITK do.
    Volume &ijk_to_lps(Matrix matrix) {
        for (std::size_t row = 0; row < 2; ++row)
            for (double &value : matrix[row]) value = -value;
        return ijk_to_ras(matrix);
    }
    const promem_volume &get() const noexcept { return volume_; }

private:
    promem_volume volume_{};
};

struct ModelOptions {
    std::string device = "auto";     // "auto", "cpu", "cuda" or "cuda:1"
    std::string precision = "auto";  // "auto", "fp32" or "bf16"
    std::uint32_t image_size = 0;    // 0: the file's own
};

struct ModelInfo {
    std::string network, device, precision, path;
    std::uint32_t image_size = 0;
    std::uint64_t parameters = 0;
};

struct SessionOptions {
    Axis axis = Axis::largest_spacing;
    double window_width = 0;  // 0: chosen from the scan and the object
    double window_level = 0;
    std::uint64_t cache_bytes = 0;  // 0: PROMEM_DEFAULT_CACHE_BYTES
    bool copy_voxels = false;       // true: the voxels may be freed after the constructor
};

struct PropagateOptions {
    Direction direction = Direction::both;
    std::uint32_t object = 0;                                    // 0: all
    std::optional<std::pair<std::int64_t, std::int64_t>> range;  // first and last slice, both inside
    bool never_stop = false;
    Memory memory = Memory::search;
    std::vector<std::uint32_t> windows;  // at most 6; empty: the method's
    std::uint32_t beams = 0;             // 0: the method's
    Choice include_prompt = Choice::as_method;
    Choice all_pointers = Choice::as_method;
    Prior prior = Prior::as_model;
    View field_of_view = View::as_model;
    float presence_threshold = 0;    // a run goes on while the object is there with at least this probability; 0: the model's
    float accept_iou = 0;      // further candidates only where the first one's predicted IoU is below this; 0: all
    float intensity_weight = 0;  // weight of what intensities on the prompt's slice say; 0: the model's, below 0: none

    promem_propagate_options c_options() const {
        promem_propagate_options options;
        detail::check(promem_propagate_options_init(&options, sizeof options));
        constexpr std::size_t most = sizeof options.windows / sizeof options.windows[0];
        detail::check(windows.size() <= most ? PROMEM_OK : PROMEM_INVALID_ARGUMENT,
                      "windows: found " + std::to_string(windows.size()) + ", expected at most " + std::to_string(most));
        std::copy(windows.begin(), windows.end(), options.windows);
        options.direction = static_cast<std::uint32_t>(direction);
        options.object = object;
        options.use_range = range.has_value();
        if (range) std::tie(options.first_slice, options.last_slice) = *range;
        options.never_stop = never_stop;
        options.memory = static_cast<std::uint32_t>(memory);
        options.beams = beams;
        options.include_prompt = static_cast<std::uint32_t>(include_prompt);
        options.all_pointers = static_cast<std::uint32_t>(all_pointers);
        options.prior = static_cast<std::uint32_t>(prior);
        options.field_of_view = static_cast<std::uint32_t>(field_of_view);
        options.presence_threshold = presence_threshold;
        options.accept_iou = accept_iou;
        options.intensity_weight = intensity_weight;
        return options;
    }
};

// Slices of a session: the axis they lie across, their number, and rows and columns of one.
struct Slices {
    Axis axis;
    std::uint64_t count, rows, columns;
};

// What the prompts of an object select on a slice.
struct Prediction {
    std::vector<std::uint8_t> mask;  // rows times columns, row after row, 1 inside
    double score = 0;
};

// A network with its weights. It never changes; sessions made of it may outlive it.
class Model {
public:
    // `path` in UTF-8; empty: PROMEM_MODEL of the environment, else the default model.
    explicit Model(const std::string &path = {}, const ModelOptions &options = {}) {
        detail::check_abi();
        promem_model_options given;
        detail::check(promem_model_options_init(&given, sizeof given));
        given.image_size = options.image_size;
        given.device = options.device.c_str();
        given.precision = options.precision.c_str();
        promem_model *model = nullptr;
        detail::check(promem_model_load(path.empty() ? nullptr : path.c_str(), &given, &model));
        handle_.reset(model);
    }
    ModelInfo info() const {
        promem_model_info found{};
        found.struct_size = sizeof found;
        detail::check(promem_model_describe(handle(), &found));
        return {found.network, found.device, found.precision, found.path, found.image_size, found.parameters};
    }
    // What the model's file says of itself, such as "promem.licence".
    std::string metadata(const std::string &key) const {
        const char *value = nullptr;
        detail::check(promem_model_metadata(handle(), key.c_str(), &value));
        return value;
    }
    const promem_model *handle() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<promem_model, detail::Free> handle_;
};

// A propagation in the background. Destroying it cancels and waits.
class Job {
public:
    explicit Job(promem_job *owned) noexcept : handle_(owned) {}

    promem_job_state poll() const {
        promem_job_state state = empty();
        detail::check(promem_job_poll(handle(), &state));
        return state;
    }
    // Slices that have become ready and were not taken yet, oldest first.
    std::vector<promem_slice_result> take_ready() const {
        std::vector<promem_slice_result> taken;
        std::array<promem_slice_result, 64> part;
        std::size_t count = 0;
        do {
            detail::check(promem_job_take_ready(handle(), part.data(), part.size(), &count));
            taken.insert(taken.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(count));
        } while (count == part.size());
        return taken;
    }
    void cancel() const { detail::check(promem_job_cancel(handle())); }
    // Whether it has ended, after at most `timeout`.
    bool wait_for(std::chrono::milliseconds timeout) const {
        promem_job_state state = empty();
        detail::check(promem_job_wait(handle(), std::max<std::int64_t>(timeout.count(), 0), &state));
        return state.running == 0;
    }
    // Waits for the end; how it ended, if not well, is an Error.
    void wait() const {
        promem_job_state state = empty();
        detail::check(promem_job_wait(handle(), -1, &state));
        detail::check(state.status, promem_job_error_message(handle()));
    }
    const promem_job *handle() const noexcept { return handle_.get(); }

private:
    static promem_job_state empty() {
        promem_job_state state{};
        state.struct_size = sizeof state;
        return state;
    }
    std::unique_ptr<promem_job, detail::Free> handle_;
};

// A scan seen along one axis through a model, with prompts and with what was found from them.
class Session {
public:
    Session(const Model &model, const Volume &volume, const SessionOptions &options = {}) {
        detail::check_abi();
        promem_session_options given;
        detail::check(promem_session_options_init(&given, sizeof given));
        given.axis = static_cast<std::uint32_t>(options.axis);
        given.window_width = options.window_width;
        given.window_level = options.window_level;
        given.cache_bytes = options.cache_bytes;
        given.copy_voxels = options.copy_voxels;
        promem_session *session = nullptr;
        detail::check(promem_session_new(model.handle(), &volume.get(), &given, &session));
        handle_.reset(session);
        std::copy(std::begin(volume.get().dims), std::end(volume.get().dims), dims_.begin());
    }

    Slices slices() const {
        std::uint32_t axis = 0;
        Slices found{};
        detail::check(promem_session_slices(handle(), &axis, &found.count, &found.rows, &found.columns));
        found.axis = static_cast<Axis>(axis);
        return found;
    }
    // Drops prompts and results.
    void set_axis(Axis axis) { detail::check(promem_session_set_axis(handle(), static_cast<std::uint32_t>(axis))); }
    void set_window(double width, double level) { detail::check(promem_session_set_window(handle(), width, level)); }
    void set_cache_limit(std::uint64_t bytes) { detail::check(promem_session_set_cache_limit(handle(), bytes)); }
    // Drops prompts and results, keeps embeddings.
    void reset() { detail::check(promem_session_reset(handle())); }

    void add_point(std::uint32_t object, const Index &voxel, bool positive = true) {
        detail::check(promem_session_add_point(handle(), object, voxel.data(), positive));
    }
    // Voxels along a line, which is drawn on the object or, not positive, beside it.
    void add_scribble(std::uint32_t object, const std::vector<Index> &voxels, bool positive = true) {
        detail::check(promem_session_add_scribble(handle(), object, flat(voxels), voxels.size(), positive));
    }
    // Corners of a closed polygon on a plane of voxels: around the object or added to it; not positive: taken away.
    void add_lasso(std::uint32_t object, const std::vector<Index> &corners, bool positive = true) {
        detail::check(promem_session_add_lasso(handle(), object, flat(corners), corners.size(), positive));
    }
    // Two opposite corners on one slice, both inside.
    void add_box(std::uint32_t object, const Index &corner, const Index &opposite) {
        detail::check(promem_session_add_box(handle(), object, corner.data(), opposite.data()));
    }
    // Over several slices: the object lies on these only; not positive: what lies in the box is taken away.
    void add_box_3d(std::uint32_t object, const Index &corner, const Index &opposite, bool positive = true) {
        detail::check(promem_session_add_box_3d(handle(), object, corner.data(), opposite.data(), positive));
    }
    // Rows times columns bytes, row after row, not 0 inside; read during the call.
    void add_mask(std::uint32_t object, std::int64_t slice, const std::uint8_t *mask, std::size_t count) {
        detail::check(promem_session_add_mask(handle(), object, slice, mask, count));
    }
    void add_mask(std::uint32_t object, std::int64_t slice, const std::vector<std::uint8_t> &mask) {
        add_mask(object, slice, mask.data(), mask.size());
    }
    // Begins with masks that exist: a label map of the whole scan, contiguous, i fastest; read during the call.
    void set_initial(const std::uint16_t *labels, std::size_t count) {
        detail::check(promem_session_set_initial(handle(), labels, count));
    }
    void set_initial(const std::vector<std::uint16_t> &labels) { set_initial(labels.data(), labels.size()); }
    // Takes back the newest prompt of an object, whatever it is; false where there is none.
    bool undo(std::uint32_t object) {
        std::uint32_t undone = 0;
        detail::check(promem_session_undo(handle(), object, &undone));
        return undone != 0;
    }
    void remove_slice(std::uint32_t object, std::int64_t slice) { detail::check(promem_session_remove_slice(handle(), object, slice)); }
    void remove_object(std::uint32_t object) { detail::check(promem_session_remove_object(handle(), object)); }
    void clear_prompts() { detail::check(promem_session_clear_prompts(handle())); }
    // By object, then slice, both rising.
    std::vector<promem_prompt> prompts() const {
        for (;;) {
            std::size_t count = 0;
            detail::check(promem_session_prompt_count(handle(), &count));
            std::vector<promem_prompt> found(count);
            const promem_status status = count == 0 ? PROMEM_OK : promem_session_list_prompts(handle(), found.data(), count);
            if (status == PROMEM_INVALID_ARGUMENT) continue;  // another thread has added or removed some meanwhile
            detail::check(status);
            return found;
        }
    }

    Prediction predict_slice(std::uint32_t object, std::int64_t slice) {
        const Slices size = slices();
        Prediction found;
        found.mask.resize(size.rows * size.columns);
        detail::check(promem_session_predict_slice(handle(), object, slice, found.mask.data(), found.mask.size(), &found.score));
        return found;
    }
    // Segments. A callback that stops it makes an Error of PROMEM_CANCELLED; what was done is kept.
    void propagate(const PropagateOptions &options = {}, const ProgressCallback &progress = {}) {
        const promem_propagate_options given = options.c_options();
        detail::Receiver receiver{progress};
        const promem_status status =
            promem_session_propagate(handle(), &given, progress ? &detail::Receiver::receive : nullptr, &receiver);
        if (receiver.thrown) std::rethrow_exception(receiver.thrown);
        detail::check(status);
    }
    void cancel() const { detail::check(promem_session_cancel(handle())); }
    Job start_propagate(const PropagateOptions &options = {}) {
        const promem_propagate_options given = options.c_options();
        promem_job *job = nullptr;
        detail::check(promem_session_start_propagate(handle(), &given, &job));
        return Job(job);
    }
    Job start_precompute() {
        promem_job *job = nullptr;
        detail::check(promem_session_start_precompute(handle(), &job));
        return Job(job);
    }

    // The number of the object at each voxel of `extent` (default: the whole volume), 0 for none; contiguous, i
    // fastest.
    std::vector<std::uint16_t> labels(const std::optional<Extent> &extent = {}) const {
        std::vector<std::uint16_t> found(voxels(extent));
        read_labels(found.data(), found.size(), extent);
        return found;
    }
    // The same into the caller's memory.
    void read_labels(std::uint16_t *labels, std::size_t count, const std::optional<Extent> &extent = {}) const {
        const Flat flat = flatten(extent);
        detail::check(promem_session_read_labels(handle(), extent ? flat.data() : nullptr, labels, count));
    }
    // 1 where the object is, whatever other objects claim.
    std::vector<std::uint8_t> mask(std::uint32_t object, const std::optional<Extent> &extent = {}) const {
        const Flat flat = flatten(extent);
        std::vector<std::uint8_t> found(voxels(extent));
        detail::check(promem_session_read_mask(handle(), object, extent ? flat.data() : nullptr, found.data(), found.size()));
        return found;
    }
    // The object's score on every slice; NaN where it has none.
    std::vector<double> scores(std::uint32_t object) const {
        std::vector<double> found(slices().count);
        detail::check(promem_session_read_scores(handle(), object, found.data(), found.size()));
        return found;
    }
    // Where labels may have changed since the last call of this.
    std::optional<Extent> take_changes() const {
        Flat flat{};
        std::uint32_t any = 0;
        detail::check(promem_session_take_changes(handle(), flat.data(), &any));
        if (any == 0) return std::nullopt;
        return Extent{{flat[0], flat[2], flat[4]}, {flat[1], flat[3], flat[5]}};
    }

    promem_session *handle() noexcept { return handle_.get(); }
    const promem_session *handle() const noexcept { return handle_.get(); }

private:
    static const std::int64_t *flat(const std::vector<Index> &voxels) {
        static_assert(sizeof(Index) == 3 * sizeof(std::int64_t), "indices lie one after another");
        return voxels.empty() ? nullptr : voxels.front().data();
    }
    using Flat = std::array<std::int64_t, 6>;
    static Flat flatten(const std::optional<Extent> &extent) {
        const Extent box = extent.value_or(Extent{});
        return {box.first[0], box.last[0], box.first[1], box.last[1], box.first[2], box.last[2]};
    }
    // How many voxels are asked for; 1 for a box that is not inside the volume, so that the library refuses it and
    // nothing huge is allocated.
    std::size_t voxels(const std::optional<Extent> &extent) const {
        std::uint64_t count = 1;
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const auto size = static_cast<std::int64_t>(dims_[axis]);
            const std::int64_t first = extent ? extent->first[axis] : 0;
            const std::int64_t last = extent ? extent->last[axis] : size - 1;
            if (first < 0 || last < first || last >= size) return 1;
            count *= static_cast<std::uint64_t>(last - first + 1);
        }
        return count;
    }

    std::unique_ptr<promem_session, detail::Free> handle_;
    std::array<std::uint64_t, 3> dims_{};
};

// The library that is loaded, such as "0.1.0".
inline std::string version() { return promem_version(); }

// The libtorch that it works with.
inline std::string libtorch_version() { return promem_libtorch_version(); }

// Names as ModelOptions::device takes them; the CPU is the first.
inline std::vector<std::string> devices() {
    std::vector<std::string> names;
    for (std::uint32_t index = 0; index < promem_device_count(); ++index) names.emplace_back(promem_device_name(index));
    return names;
}

// CPU threads of an operation, in the whole process; 0: one per core.
inline void set_thread_count(std::uint32_t threads) { detail::check(promem_set_thread_count(threads)); }
inline std::uint32_t thread_count() { return promem_thread_count(); }

// Level (PROMEM_LOG_...), part of the library, line. Called on any thread, one line at a time; must not call this
// library. Exceptions are dropped.
using LogCallback = std::function<void(std::int32_t level, const char *target, const char *line)>;

// Where the log of the whole process goes; an empty callback: nowhere, as by default.
inline void set_log(LogCallback callback, std::int32_t level = PROMEM_LOG_INFO) {
    static std::mutex setting;
    // Never destroyed: threads may log while the process ends.
    static auto *const current = new std::unique_ptr<LogCallback>();
    const std::lock_guard<std::mutex> lock(setting);
    auto next = callback ? std::make_unique<LogCallback>(std::move(callback)) : nullptr;
    const promem_log_callback receive = [](std::int32_t at, const char *target, const char *line, void *to) {
        try {
            (*static_cast<LogCallback *>(to))(at, target, line);
        } catch (...) {
        }
    };
    detail::check(promem_set_log_callback(next ? receive : nullptr, next.get(), level));
    *current = std::move(next);
}

}  // namespace promem

#endif  // PROMEM_HPP

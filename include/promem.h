/*
 * ProMem: segment a whole 3D CT or MR scan from prompts on a few slices.
 *
 * This file is written from the library's sources (make header); it is the whole manual of the C interface.
 *
 * A complete use, errors aside (examples/c/segment.c has them):
 *
 *     promem_model *model = NULL;
 *     promem_model_load(NULL, NULL, &model);                          // the default model, the best device
 *
 *     promem_volume volume;
 *     promem_volume_init(&volume, sizeof volume);
 *     volume.scalar_type = PROMEM_INT16;
 *     volume.voxels = voxels;                                         // read where they lie; not copied
 *     volume.dims[0] = 512; volume.dims[1] = 512; volume.dims[2] = 120;
 *     volume.ijk_to_ras[2][2] = 2.5;                                  // slices 2.5 mm apart
 *
 *     promem_session *session = NULL;
 *     promem_session_new(model, &volume, NULL, &session);
 *     promem_session_add_mask(session, 1, 60, mask, 512 * 512);       // object 1 on slice 60; or add_point, add_box, ...
 *     promem_session_propagate(session, NULL, NULL, NULL);            // both ways, until the object ends
 *     promem_session_read_labels(session, NULL, labels, 512 * 512 * 120);
 *
 *     promem_session_free(session);
 *     promem_model_free(model);
 *
 * Indices. i, j, k count voxels from 0; i is the fastest in memory unless strides say otherwise. Slices are numbered
 * from 0 along the axis of the session.
 *
 * Errors. A function that can fail returns a promem_status: PROMEM_OK, or a number that never changes its meaning.
 * Results go to the last arguments and are untouched on failure. promem_last_error_message says why, for the calling
 * thread. Every function may be called with NULL or numbers out of range; it answers with a status. No exception or
 * panic leaves the library.
 *
 * Ownership. What ..._load, ..._new and ..._start_... give is the caller's to free, by the function of that name;
 * freeing NULL is allowed. There is nothing else to free. Texts and masks that are passed in are read during the call
 * only; the voxels of a volume are read while its session lives, unless they are copied.
 *
 * Threads. Each handle's type says what may happen at the same time. As a rule: what takes a pointer to const may be
 * called from any thread at any time. Callbacks come on the thread that called, but for the log. A callback must
 * return: it must not throw, jump (longjmp) or end its thread, and it must not free what called it.
 *
 * End. A process may end at any time, also while something is computed: exit, and the return of main, cancel it and
 * wait for its end, at most 10 seconds; if it takes longer, the process ends with its status, without the handlers that
 * were registered with atexit before. What is begun meanwhile answers PROMEM_CANCELLED. After
 * pthread_exit of main, threads of libtorch keep the process: another thread must call exit. The library stays loaded
 * after dlclose.
 *
 * Forks. After a fork, a child has models, sessions and jobs only in name: every function that takes one, or would load
 * one, answers PROMEM_FORKED, and freeing them does nothing. A child of a process that had not loaded a model yet may
 * use the library.
 *
 * Busy machines. Threads of OpenMP, which libtorch computes with, look for work for milliseconds before they sleep.
 * Where other programs compute, those that look take the cores from those that work: 8 to 40 seconds where 3 are
 * needed. A host that shares its machine sets the environment's GOMP_SPINCOUNT to 3000 (docs/performance.md has the
 * measurements), where the user has set nothing. libgomp reads it once, when it is loaded: set it before the process
 * starts, or before dlopen of the library; setenv in a program that is linked to it comes too late.
 *
 * Structs that may grow begin with struct_size. Set it by the function ..._init (or to sizeof), and set fields that you
 * do not know to zero. A program that was compiled against an older header goes on working; one that is newer than the
 * library is refused with PROMEM_STRUCT_TOO_LARGE.
 *
 * Versions. promem_abi_version() must equal PROMEM_ABI_VERSION; the library's soname carries it, too.
 *
 * Apache-2.0. Not a medical device.
 */


#ifndef PROMEM_H
#define PROMEM_H

#include <stddef.h>
#include <stdint.h>

// The interface of this header. It rises when a program that was compiled against an older header would break.
#define PROMEM_ABI_VERSION 1

// Errors only.
#define PROMEM_LOG_ERROR 1

// And what may surprise.
#define PROMEM_LOG_WARNING 2

// And what was decided.
#define PROMEM_LOG_INFO 3

// And what helps to find a fault.
#define PROMEM_LOG_DEBUG 4

// int8_t
#define PROMEM_INT8 1

// uint8_t
#define PROMEM_UINT8 2

// int16_t
#define PROMEM_INT16 3

// uint16_t
#define PROMEM_UINT16 4

// int32_t
#define PROMEM_INT32 5

// uint32_t
#define PROMEM_UINT32 6

// int64_t
#define PROMEM_INT64 7

// uint64_t
#define PROMEM_UINT64 8

// float
#define PROMEM_FLOAT32 9

// double
#define PROMEM_FLOAT64 10

// The axis of the largest spacing, along which the scan was cut into slices; at a tie k.
#define PROMEM_AXIS_AUTO 0

// Slices across i, the fastest index.
#define PROMEM_AXIS_I 1

// Slices across j.
#define PROMEM_AXIS_J 2

// Slices across k, the slowest index.
#define PROMEM_AXIS_K 3

// Bytes of embeddings that a session keeps where the caller does not say: 1 GiB.
#define PROMEM_DEFAULT_CACHE_BYTES (1 << 30)

// Both ways from every prompted slice.
#define PROMEM_BOTH 0

// Towards higher slice numbers.
#define PROMEM_UP 1

// Towards lower slice numbers.
#define PROMEM_DOWN 2

// Memory window search, the paper's method.
#define PROMEM_SEARCH 0

// Plain SAM 2 propagation: one window of 6 slices, the prompt's memory always attended to.
#define PROMEM_SAM2 1

// As the method or the model has it.
#define PROMEM_DEFAULT 0

// Not.
#define PROMEM_NO 1

// Always.
#define PROMEM_YES 2

// Nothing: memory alone, the paper's method.
#define PROMEM_PRIOR_NONE 1

// The mask of the slice before.
#define PROMEM_PRIOR_PREVIOUS 2

// The mask of the slice before, moved by registration of the two slices.
#define PROMEM_PRIOR_REGISTERED 3

// All of a slice: objects share what is computed of it.
#define PROMEM_VIEW_SLICE 1

// The object and its surroundings.
#define PROMEM_VIEW_OBJECT 2

// A propagation in a thread of its own. While it runs, what changes its session answers PROMEM_BUSY; what reads does
// not.
//
// Threads: any number may use a job at the same time; promem_job_free must be the last call. It may outlive its
// session, and the session it.
typedef struct promem_job promem_job;

// A network with its weights. It never changes: any number of threads and sessions may use one at the same time; they
// compute one after the other. Sessions keep what they need of it, so it may be freed before them.
typedef struct promem_model promem_model;

// A scan seen along one axis through a model, with prompts and with what was found from them.
//
// Threads: functions that take a const promem_session may be called from any thread at any time, also while a
// propagation runs. Of the others one may run at a time; while it does, or while a job runs, they answer PROMEM_BUSY.
// promem_session_free must be the last call.
typedef struct promem_session promem_session;

// What a function answers: PROMEM_OK or the kind of error. A number never changes its meaning; new ones may come.
typedef int32_t promem_status;

// Receives the log, line by line, on whichever thread writes it, one line at a time: level (PROMEM_LOG_...), the part
// of the library, the line (both UTF-8, for the duration of the call), and what was given with the callback. It must
// not call this library, and must not throw, jump or end its thread.
typedef void (*promem_log_callback)(int32_t level, const char *target, const char *line, void *user_data);

// How a model is loaded. All zero but the size is the default; promem_model_options_init sets that.
typedef struct {
    // sizeof(promem_model_options)
    uint32_t struct_size;
    // Pixels of a side of the square that the network sees, a multiple of 32 up to 8192; 0: the file's own, or the
    // paper's 512 for files that do not say.
    uint32_t image_size;
    // "auto", "cpu", "cuda" or "cuda:1"; NULL: auto, the first CUDA device if there is one.
    const char *device;
    // "auto", "fp32" or "bf16"; NULL: auto, bf16 where the hardware multiplies it.
    const char *precision;
} promem_model_options;

// What was loaded. The texts are the model's and are valid while it is.
typedef struct {
    // sizeof(promem_model_info), set by the caller.
    uint32_t struct_size;
    // Pixels of a side of the square that the network sees.
    uint32_t image_size;
    // Number of weights.
    uint64_t parameters;
    // The network, such as "compact" or "sam2.1_hiera_tiny".
    const char *network;
    // "cpu" or "cuda:0".
    const char *device;
    // "fp32" or "bf16".
    const char *precision;
    // The file it was read from.
    const char *path;
} promem_model_info;

// A scan in the caller's memory: voxels, and where they are in the patient. Values that are not finite count as the
// lowest.
typedef struct {
    // sizeof(promem_volume)
    uint32_t struct_size;
    // PROMEM_INT8 to PROMEM_FLOAT64.
    uint32_t scalar_type;
    // The voxel of index 0,0,0.
    const void *voxels;
    // Voxels along i, j and k.
    uint64_t dims[3];
    // Bytes from a voxel to the next along i, j and k, of any sign; all zero: contiguous, i fastest.
    int64_t strides[3];
    // From the index (i, j, k, 1) to millimetres: right, anterior, superior. Rows of the upper part of a 4x4 matrix;
    // it must have an inverse.
    double ijk_to_ras[3][4];
} promem_volume;

// How a session begins. All zero but the size is the default.
typedef struct {
    // sizeof(promem_session_options)
    uint32_t struct_size;
    // PROMEM_AXIS_AUTO to PROMEM_AXIS_K.
    uint32_t axis;
    // The intensities that the network sees, as viewers have them: width; 0: chosen from the scan and the object.
    double window_width;
    // And level, the middle.
    double window_level;
    // Bound of the embeddings that are kept, in bytes; 0: PROMEM_DEFAULT_CACHE_BYTES.
    uint64_t cache_bytes;
    // Not 0: copy the voxels (to 4 bytes each), so that the caller may free or change them. 0: read them where they
    // lie whenever a slice is needed; they must stay and not change until the session is freed.
    uint32_t copy_voxels;
    // Must be 0.
    uint32_t reserved;
} promem_session_options;

// What is said of an object on a slice.
typedef struct {
    // The object, 1 to 65535.
    uint32_t object;
    // How many points count: clicks and points of scribbles since the newest mask.
    uint32_t points;
    // The slice.
    int64_t slice;
    // 1 where a box counts.
    uint32_t has_box;
    // 1 where there is a mask.
    uint32_t has_mask;
    // How many regions were added to the mask or taken away from it: lassos, and boxes that exclude.
    uint32_t regions;
    // How many prompts lie on the slice, of any kind.
    uint32_t prompts;
} promem_prompt;

// How a propagation goes. All zero but the size is the default: every object, both ways, until it ends.
typedef struct {
    // sizeof(promem_propagate_options)
    uint32_t struct_size;
    // PROMEM_BOTH, PROMEM_UP or PROMEM_DOWN.
    uint32_t direction;
    // The only object to propagate; 0: all.
    uint32_t object;
    // Not 0: no further than first_slice and last_slice, both inside.
    uint32_t use_range;
    // With use_range: the lowest slice.
    int64_t first_slice;
    // With use_range: the highest slice.
    int64_t last_slice;
    // Not 0: predict every slice, also where the object seems to have ended.
    uint32_t never_stop;
    // PROMEM_SEARCH or PROMEM_SAM2: what the following zeros stand for.
    uint32_t memory;
    // Memory windows to try on each slice, 1 to 6 slices each, then zeros; all zero: 1 and 6 (PROMEM_SAM2: 6).
    uint32_t windows[6];
    // Banks kept from slice to slice, at most 16; 0: 2 (PROMEM_SAM2: 1).
    uint32_t beams;
    // Whether every candidate attends to the prompt's memory: PROMEM_DEFAULT (PROMEM_SEARCH: only within the window),
    // PROMEM_NO, PROMEM_YES.
    uint32_t include_prompt;
    // Whether candidates attend to object pointers beyond their window, as SAM 2 does: PROMEM_DEFAULT, PROMEM_NO,
    // PROMEM_YES.
    uint32_t all_pointers;
    // The mask prior that the decoder gets from the previous slice: PROMEM_DEFAULT (as the model was trained),
    // PROMEM_PRIOR_NONE, PROMEM_PRIOR_PREVIOUS or PROMEM_PRIOR_REGISTERED.
    uint32_t prior;
    // What of a slice the network is shown: PROMEM_DEFAULT (what the model was trained with), PROMEM_VIEW_SLICE,
    // PROMEM_VIEW_OBJECT.
    uint32_t field_of_view;
    // A run goes on while the object is there with at least this probability; 0: what the model was calibrated to,
    // else 0.5.
    float presence_threshold;
    // Further candidates are tried only where the first one's predicted IoU is below this; 0: all on every slice.
    float accept_iou;
    // Weight of what intensities on the prompt's slice say beside the network, at most 4; 0: what the model was
    // calibrated to, below 0: none.
    float intensity_weight;
} promem_propagate_options;

// A slice of an object, just made. More fields may follow in later versions; the library sets struct_size.
typedef struct {
    // The size of what the library passes.
    uint32_t struct_size;
    // The object; 0 while embeddings are computed ahead.
    uint32_t object;
    // The slice; -1 while embeddings are computed ahead.
    int64_t slice;
    // How many slices times objects are done.
    uint64_t done;
    // Of how many; it falls when a run ends early.
    uint64_t expected;
    // The mask's predicted IoU; 1 for a mask that was given.
    double score;
    // 1, or 0 where the object was not found and its run ended.
    uint32_t found;
    // 0, set by the library.
    uint32_t reserved;
} promem_progress;

// Called after each slice on the calling thread; `progress` is valid during the call. Not 0: go on; 0: stop, and keep
// what is done. It may call what takes a const promem_session.
//
// It must return: an exception, a longjmp or the end of its thread out of it is forbidden. The library does not
// survive them: an exception ends the process, and a jump leaves the session in use (PROMEM_BUSY) for ever. promem.hpp
// keeps exceptions and throws them when the call has returned. exit() is allowed.
typedef int32_t (*promem_progress_callback)(const promem_progress *progress, void *user_data);

// How far a job is.
typedef struct {
    // sizeof(promem_job_state), set by the caller.
    uint32_t struct_size;
    // 1 while it runs.
    uint32_t running;
    // How many slices times objects are done.
    uint64_t done;
    // Of how many; it falls when a run ends early.
    uint64_t expected;
    // How it ended: PROMEM_OK, PROMEM_CANCELLED or an error; PROMEM_OK while it runs.
    promem_status status;
    // 0, set by the library.
    uint32_t reserved;
} promem_job_state;

// A slice that a propagation has made.
typedef struct {
    // The object.
    uint32_t object;
    // 1, or 0 where the object was not found and its run ended.
    uint32_t found;
    // The slice.
    int64_t slice;
    // The mask's predicted IoU; 1 for a mask that was given.
    double score;
} promem_slice_result;

// Done.
#define PROMEM_OK 0

// An argument, a prompt or an option contradicts the data or the other arguments; the caller can change it.
#define PROMEM_INVALID_ARGUMENT 10

// A pointer that must not be NULL is.
#define PROMEM_NULL_ARGUMENT 11

// A struct is larger than this library knows: it was compiled against a newer header.
#define PROMEM_STRUCT_TOO_LARGE 12

// The data is well-formed, but of a kind that is not handled.
#define PROMEM_UNSUPPORTED 20

// A file is not what it says it is, or breaks off.
#define PROMEM_BAD_FORMAT 21

// A model file fits no known network.
#define PROMEM_BAD_MODEL 22

// The operating system refused: missing file, full disk, permission.
#define PROMEM_IO_ERROR 30

// The computing library refused: out of memory, missing device.
#define PROMEM_COMPUTE_ERROR 31

// The caller asked to stop; what was done is kept.
#define PROMEM_CANCELLED 40

// Another call or a job is using the session.
#define PROMEM_BUSY 41

// The process was forked after it had loaded a model; models, sessions and jobs are the parent's and cannot be used in
// the child.
#define PROMEM_FORKED 42

// A fault of this library; the session stays usable after promem_session_reset.
#define PROMEM_INTERNAL_ERROR 90

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// A status by name, such as "PROMEM_OK"; "unknown status" for a number that this library does not know. The text is
// constant.
const char *promem_status_name(promem_status status);

// Why the last function that this thread called and that returns a status did not return PROMEM_OK: one line of UTF-8
// that names the thing, what was found and what was expected. "" after PROMEM_OK, and while the thread's own
// destructors run. It is the library's and holds until the thread's next such call.
const char *promem_last_error_message(void);

// The interface of the library that is loaded; compare it with PROMEM_ABI_VERSION, that of the header you compiled
// against.
uint32_t promem_abi_version(void);

// The version of the library that is loaded, such as "0.1.0". The text is constant.
const char *promem_version(void);

// The version of libtorch that this library works with, and with no other. The text is constant.
const char *promem_libtorch_version(void);

// How many devices can be computed on. The CPU is the first. 0 in a child that was forked after a model was loaded.
uint32_t promem_device_count(void);

// A device's name, "cpu" or "cuda:0", as promem_model_options takes it; NULL where there is none of that number. The
// text is constant.
const char *promem_device_name(uint32_t index);

// How many threads an operation may use on the CPU, in the whole process; 0: one per core. By default one per core.
//
// Errors: PROMEM_INVALID_ARGUMENT for more than 4096, PROMEM_FORKED.
promem_status promem_set_thread_count(uint32_t threads);

// How many threads an operation may use on the CPU.
uint32_t promem_thread_count(void);

// Where the log goes, for the whole process. NULL: nowhere, as by default; the library prints nothing itself.
// `user_data` must stay valid until another callback is set; the former one is not called any more when this returns.
//
// Errors: PROMEM_INVALID_ARGUMENT for an unknown level, or where the process has a Rust logger of its own already;
// PROMEM_BUSY in a log callback; PROMEM_FORKED.
promem_status promem_set_log_callback(promem_log_callback callback, void *user_data, int32_t level);

// Sets all options to their defaults; `struct_size` is sizeof(promem_model_options).
promem_status promem_model_options_init(promem_model_options *options, size_t struct_size);

// Loads a model: a SAM 2, SAM 2.1 or MedSAM2 .pt, or a .safetensors. `path` in UTF-8; NULL: the environment's
// PROMEM_MODEL if that is not empty, else the default model that was installed with the library. `options` may be
// NULL. Free the model with promem_model_free.
//
// Errors: PROMEM_NULL_ARGUMENT for `model`; PROMEM_INVALID_ARGUMENT for a text that is not UTF-8, an unknown device or
// precision, an image size that cannot be, or without a path where there is no default model (the message names the
// places where it was looked for); PROMEM_STRUCT_TOO_LARGE; PROMEM_IO_ERROR for a file that cannot be read,
// PROMEM_BAD_FORMAT for one that is damaged or no model file, PROMEM_UNSUPPORTED for one of a kind that is not read,
// PROMEM_BAD_MODEL for weights that fit no known network; PROMEM_COMPUTE_ERROR for a device that is not there or too
// little memory; PROMEM_CANCELLED where the process is about to end, PROMEM_FORKED.
promem_status promem_model_load(const char *path, const promem_model_options *options, promem_model **model);

// Describes a model. `info->struct_size` must be set.
promem_status promem_model_describe(const promem_model *model, promem_model_info *info);

// What the model's file says of itself: the text under `key`, such as "promem.licence". It is the model's and valid
// while that is.
//
// Errors: PROMEM_INVALID_ARGUMENT where the file says nothing under that name; the message lists the names that there
// are.
promem_status promem_model_metadata(const promem_model *model, const char *key, const char **value);

// Frees a model; NULL is allowed. Nobody may use it any more; sessions made of it may go on. In a forked child nothing
// is freed.
void promem_model_free(promem_model *model);

// Sets everything to zero and the map to patient space to spacings of 1 mm; `struct_size` is sizeof(promem_volume).
promem_status promem_volume_init(promem_volume *volume, size_t struct_size);

// Sets all options to their defaults; `struct_size` is sizeof(promem_session_options).
promem_status promem_session_options_init(promem_session_options *options, size_t struct_size);

// Begins a session. `volume` and `options` are read during the call (options may be NULL); the voxels must stay,
// unless they are copied. Free the session with promem_session_free.
//
// Errors: PROMEM_INVALID_ARGUMENT for sizes, strides or an option, PROMEM_BAD_FORMAT for a map to patient space
// without an inverse.
promem_status promem_session_new(const promem_model *model,
                                 const promem_volume *volume,
                                 const promem_session_options *options,
                                 promem_session **session);

// Frees a session; NULL is allowed. What runs is cancelled and waited for, so that the voxels may be freed afterwards.
//
// In a callback of the session itself this is a mistake, which the log names: the propagation is cancelled, nobody may
// use the session any more, and the voxels must stay until the call that called back has returned. In a forked child
// nothing is freed.
void promem_session_free(promem_session *session);

// The axis that slices lie across (PROMEM_AXIS_I, _J or _K), their number, and rows and columns of one. Columns and
// rows are the two other axes in rising order: across k columns are i and rows j; across j columns are i and rows k;
// across i columns are j and rows k. Any of the four pointers to results may be NULL.
promem_status promem_session_slices(const promem_session *session,
                                    uint32_t *axis,
                                    uint64_t *count,
                                    uint64_t *rows,
                                    uint64_t *columns);

// Sees the scan across another axis. Prompts, results and embeddings are dropped: they belong to the old slices.
//
// Errors: PROMEM_BUSY, PROMEM_INVALID_ARGUMENT.
promem_status promem_session_set_axis(promem_session *session, uint32_t axis);

// Shows the network other intensities: width and level; width 0: chosen from the scan and the object. Prompts and
// results stay; the next propagation computes everything anew.
//
// Errors: PROMEM_BUSY, PROMEM_INVALID_ARGUMENT.
promem_status promem_session_set_window(promem_session *session, double width, double level);

// Another bound of the embeddings that are kept, in bytes; 0: PROMEM_DEFAULT_CACHE_BYTES. What does not fit is
// dropped.
//
// Errors: PROMEM_BUSY.
promem_status promem_session_set_cache_limit(promem_session *session, uint64_t bytes);

// Takes back every prompt, every mask that was set to begin with, and every result. Embeddings stay, so that what follows is quick. A session is good again
// after this, whatever went wrong before.
//
// Errors: PROMEM_BUSY.
promem_status promem_session_reset(promem_session *session);

// Says that a voxel belongs to an object (`positive` not 0) or does not. `ijk`: its three indices. An object's number,
// 1 to 65535, is its label in the label map.
//
// Prompts of an object are an ordered history: each refines the mask that its slices have by then, of earlier prompts
// or of a propagation. promem_session_undo takes back the newest.
//
// Errors: PROMEM_INVALID_ARGUMENT for an object or a voxel that cannot be, and for `positive` 0 where the slice has no
// mask of the object; PROMEM_BUSY.
promem_status promem_session_add_point(promem_session *session, uint32_t object, const int64_t *ijk, uint32_t positive);

// Gives an object's box on a slice: two opposite corners, both inside; it replaces an earlier box of that slice.
//
// Errors: PROMEM_INVALID_ARGUMENT for corners outside the volume or on two slices, PROMEM_BUSY.
promem_status promem_session_add_box(promem_session *session,
                                     uint32_t object,
                                     const int64_t *corner_ijk,
                                     const int64_t *opposite_ijk);

// Gives an object's mask on a slice: rows times columns bytes, row after row, not 0 inside (promem_session_slices
// tells which axes they are). It is the result on its slice, voxel for voxel, and takes the place of the slice's
// earlier prompts; later ones refine it.
//
// Errors: PROMEM_INVALID_ARGUMENT for a count that is not rows times columns, or an empty mask; PROMEM_BUSY.
promem_status promem_session_add_mask(promem_session *session,
                                      uint32_t object,
                                      int64_t slice,
                                      const uint8_t *mask,
                                      size_t count);

// Draws a line on an object (`positive` not 0) or beside it: `count` voxels of three indices each, which are joined by
// straight lines, on any plane or across planes. It becomes points on every slice that it crosses, which refine the
// mask there.
//
// Errors: as promem_session_add_point; PROMEM_INVALID_ARGUMENT also without a voxel.
promem_status promem_session_add_scribble(promem_session *session,
                                          uint32_t object,
                                          const int64_t *ijk,
                                          size_t count,
                                          uint32_t positive);

// Draws a closed polygon on a plane of voxels: its `count` corners, at least 3, of three indices each, equal along one
// axis.
//
// On a slice, `positive` not 0: the region is added to the object's mask; on a slice without a mask it goes around the
// object. `positive` 0: it is taken away from the mask, to the voxel. On another plane: points inside it, on every
// slice that it crosses.
//
// Errors: as promem_session_add_point; PROMEM_INVALID_ARGUMENT also for fewer than 3 corners or corners on several
// planes.
promem_status promem_session_add_lasso(promem_session *session,
                                       uint32_t object,
                                       const int64_t *ijk,
                                       size_t count,
                                       uint32_t positive);

// Gives a box between two opposite corners, both inside, which may span several slices.
//
// `positive` not 0: the object lies on the slices of the box and on those of its other prompts only, so that
// propagations end there. The box is a prompt on the middle one of its slices; where it is flat on a plane across the
// slices, a point in its middle is. On one slice it is as promem_session_add_box. `positive` 0: what lies in the box
// is taken away from the object's masks, to the voxel.
//
// Errors: as promem_session_add_point.
promem_status promem_session_add_box_3d(promem_session *session,
                                        uint32_t object,
                                        const int64_t *corner_ijk,
                                        const int64_t *opposite_ijk,
                                        uint32_t positive);

// Begins with masks that exist, of a former result or another tool: a label map of the whole scan, contiguous, i
// fastest, 0 where there is no object. They are the result until the next propagation, and its beginning: prompts
// correct them. What was found before is dropped, and so are masks that were set before; prompts stay. A label map of
// zeros sets none.
//
// Errors: PROMEM_INVALID_ARGUMENT for a count that is not the number of voxels, PROMEM_BUSY.
promem_status promem_session_set_initial(promem_session *session, const uint16_t *labels, size_t count);

// Takes back the newest prompt of an object, whatever it is, on every slice that it lies on. `undone` gets 1, or 0
// where there is none; it may be NULL. The result changes with the next propagation.
//
// Errors: PROMEM_INVALID_ARGUMENT for an object that cannot be, PROMEM_BUSY.
promem_status promem_session_undo(promem_session *session, uint32_t object, uint32_t *undone);

// Takes back everything said of an object on a slice. The result changes with the next propagation.
//
// Errors: PROMEM_INVALID_ARGUMENT where there is nothing, PROMEM_BUSY.
promem_status promem_session_remove_slice(promem_session *session, uint32_t object, int64_t slice);

// Takes back everything said of an object. The result changes with the next propagation.
//
// Errors: PROMEM_INVALID_ARGUMENT where there is nothing, PROMEM_BUSY.
promem_status promem_session_remove_object(promem_session *session, uint32_t object);

// Takes back every prompt. Results stay until the next propagation or promem_session_reset.
//
// Errors: PROMEM_BUSY.
promem_status promem_session_clear_prompts(promem_session *session);

// How many slices of objects have prompts.
promem_status promem_session_prompt_count(const promem_session *session, size_t *count);

// Lists the prompts by object, then slice, both rising. `count` must be what promem_session_prompt_count said.
//
// Errors: PROMEM_INVALID_ARGUMENT for another count.
promem_status promem_session_list_prompts(const promem_session *session, promem_prompt *prompts, size_t count);

// Sets all options to their defaults; `struct_size` is sizeof(promem_propagate_options).
promem_status promem_propagate_options_init(promem_propagate_options *options, size_t struct_size);

// What the prompts of an object on a slice select there: a preview while the user points. `mask` gets rows times
// columns bytes, row after row, 1 inside and 0 outside, or is NULL; `score` gets the predicted IoU (1 for a mask that
// was given), or is NULL. Results of propagations are not touched, and the next one begins with this.
//
// Errors: PROMEM_INVALID_ARGUMENT without a positive prompt there or for a count that is not rows times columns,
// PROMEM_COMPUTE_ERROR, PROMEM_BUSY.
promem_status promem_session_predict_slice(promem_session *session,
                                           uint32_t object,
                                           int64_t slice,
                                           uint8_t *mask,
                                           size_t count,
                                           double *score);

// Segments: walks from every prompted slice and keeps what it finds for reading. `options` may be NULL, `progress`
// too.
//
// What an earlier propagation found from the same prompts with the same search is not computed again: after a new
// prompt only what it can change is, and after a cancel it goes on where it stood.
//
// Errors: PROMEM_INVALID_ARGUMENT without prompts or for an option; PROMEM_CANCELLED where `progress` answered 0 or
// promem_session_cancel was called, and PROMEM_COMPUTE_ERROR: what was done is kept; PROMEM_BUSY.
promem_status promem_session_propagate(promem_session *session,
                                       const promem_propagate_options *options,
                                       promem_progress_callback progress,
                                       void *user_data);

// Ends what is running on the session, a propagation, a job or a computation ahead, after the slice that it is at.
// Does nothing where nothing runs.
promem_status promem_session_cancel(const promem_session *session);

// As promem_session_propagate, in the background. `options` is read during the call and may be NULL. Free the job with
// promem_job_free.
//
// Errors: PROMEM_INVALID_ARGUMENT for an option, PROMEM_BUSY; what goes wrong later is the job's status.
promem_status promem_session_start_propagate(promem_session *session,
                                             const promem_propagate_options *options,
                                             promem_job **job);

// Computes embeddings in the background while the user still points, those next to prompts first, until the cache is
// full. Models that see the object and its surroundings (the default one) know what to compute only once there is a
// prompt. Free the job with promem_job_free.
//
// Errors: PROMEM_BUSY.
promem_status promem_session_start_precompute(promem_session *session, promem_job **job);

// How far a job is, at once. `state->struct_size` must be set.
promem_status promem_job_poll(const promem_job *job, promem_job_state *state);

// Takes the slices that have become ready and were not taken yet, oldest first, at most `capacity`; `count` gets how
// many. Masks are read from the session.
promem_status promem_job_take_ready(const promem_job *job,
                                    promem_slice_result *results,
                                    size_t capacity,
                                    size_t *count);

// Asks a job to end after the slice that it is at; what is done is kept. Returns at once; does nothing where it has
// ended.
promem_status promem_job_cancel(const promem_job *job);

// Waits until a job has ended, at most `timeout_ms` milliseconds, below 0 for as long as it takes. `state` says
// whether it has, and how; it may be NULL.
promem_status promem_job_wait(const promem_job *job, int64_t timeout_ms, promem_job_state *state);

// Why a job did not end with PROMEM_OK, in one line; "" while it runs or where it did. The text is the job's and valid
// while that is.
const char *promem_job_error_message(const promem_job *job);

// Cancels a job that still runs, waits for its end, and frees it; NULL is allowed. In a forked child nothing is freed.
void promem_job_free(promem_job *job);

// Reads the label map: the number of the object at each voxel, 0 where there is none. `extent`: first and last index
// along i, along j, along k, all inside; NULL: the whole volume. `labels` gets its voxels contiguously, i fastest;
// `count` must be their number. Where objects overlap, the higher score on that slice wins, at a tie the lower number.
//
// Errors: PROMEM_INVALID_ARGUMENT for an extent outside the volume, or a count that is not its size.
promem_status promem_session_read_labels(const promem_session *session,
                                         const int64_t *extent,
                                         uint16_t *labels,
                                         size_t count);

// Reads one object's mask, whatever other objects claim: 1 inside, 0 outside. `extent` and `count` as for
// promem_session_read_labels.
//
// Errors: as promem_session_read_labels. An object without a result has an empty mask.
promem_status promem_session_read_mask(const promem_session *session,
                                       uint32_t object,
                                       const int64_t *extent,
                                       uint8_t *mask,
                                       size_t count);

// Reads an object's score on every slice: the predicted IoU of its mask there, 1 for a mask that was given, NaN where
// it has none. `count` must be the number of slices.
//
// Errors: PROMEM_INVALID_ARGUMENT for another count.
promem_status promem_session_read_scores(const promem_session *session, uint32_t object, double *scores, size_t count);

// The box of the voxels whose label may have changed since the last call of this function: first and last index along
// i, j and k into the six values of `extent`, and 1 into `any`; 0, and `extent` untouched, where nothing has changed.
promem_status promem_session_take_changes(const promem_session *session, int64_t *extent, uint32_t *any);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PROMEM_H */

/* Numbers, pointers and structs that cannot be, on every function that takes one: each is refused with a status,
 * and nothing is touched.
 * Argument: a model file. */
#define _POSIX_C_SOURCE 200809L
#include "promem.h"

#include "check.h"
#include "scan.h"

static const size_t counts[] = {0, 1, PLANE - 1, PLANE + 1, VOXELS - 1, VOXELS + 1, SIZE_MAX / 16, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 1, SIZE_MAX};
static const int64_t numbers[] = {-1, SLICES, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT32_MAX, (int64_t)1 << 32};
static const double doubles[] = {NAN, INFINITY, -INFINITY};
#define EACH(n, array) size_t n = 0; n < sizeof(array) / sizeof *(array); n++

static union {
    uint8_t bytes[64];
    int64_t aligned;
} room;

/* An address where nothing but bytes can be. */
static void *odd(void)
{
    return room.bytes + 1;
}

static int untouched(void)
{
    for (size_t n = 0; n < sizeof room; n++)
        if (room.bytes[n] != 0x55)
            return 0;
    return 1;
}

#define INVALID(call) REFUSED(call, PROMEM_INVALID_ARGUMENT, "expected")
/* Also where the message says that memory cannot hold it. */
#define REJECTED(call) REFUSED(call, PROMEM_INVALID_ARGUMENT, ":")

static void counts_are_compared_before_memory_is_touched(promem_session *session)
{
    for (EACH(n, counts)) {
        REJECTED(promem_session_add_mask(session, 1, 4, room.bytes, counts[n]));
        REJECTED(promem_session_predict_slice(session, 1, 4, room.bytes, counts[n], NULL));
        REJECTED(promem_session_set_initial(session, (uint16_t *)(void *)&room, counts[n]));
        if (counts[n] > VOXELS + 1) {
            REJECTED(promem_session_add_scribble(session, 1, (int64_t *)(void *)&room, counts[n], 1));
            REJECTED(promem_session_add_lasso(session, 1, (int64_t *)(void *)&room, counts[n], 1));
        }
        REJECTED(promem_session_read_labels(session, NULL, (uint16_t *)(void *)&room, counts[n]));
        REJECTED(promem_session_read_mask(session, 1, NULL, room.bytes, counts[n]));
        REJECTED(promem_session_read_scores(session, 1, (double *)(void *)&room, counts[n]));
        if (counts[n] != 1)
            REJECTED(promem_session_list_prompts(session, (promem_prompt *)(void *)&room, counts[n]));
        if (counts[n] > sizeof(promem_propagate_options)) {
            promem_propagate_options options;
            promem_volume volume;
            REFUSED(promem_propagate_options_init(&options, counts[n]), PROMEM_STRUCT_TOO_LARGE, "struct_size");
            REFUSED(promem_volume_init(&volume, counts[n] + (counts[n] < SIZE_MAX - 160 ? 160 : 0)), PROMEM_STRUCT_TOO_LARGE, "struct_size");
            REFUSED(promem_session_options_init((void *)&volume, counts[n]), PROMEM_STRUCT_TOO_LARGE, "struct_size");
            REFUSED(promem_model_options_init((void *)&volume, counts[n]), PROMEM_STRUCT_TOO_LARGE, "struct_size");
        }
    }
    CHECK(untouched());
    /* A count of the right size at the end of memory. */
    INVALID(promem_session_read_scores(session, 1, (double *)((uintptr_t)0 - 16), SLICES + 1));
    REJECTED(promem_session_read_scores(session, 1, (double *)((uintptr_t)0 - 16), SLICES));
    REJECTED(promem_session_add_mask(session, 1, 4, (uint8_t *)((uintptr_t)0 - 16), PLANE));
}

static void numbers_are_compared_before_they_are_used(promem_session *session)
{
    int64_t inside[3] = {1, 1, 4}, at[3];
    for (EACH(n, numbers)) {
        REJECTED(promem_session_add_mask(session, 1, numbers[n], disk, PLANE));
        REJECTED(promem_session_remove_slice(session, 1, numbers[n]));
        REJECTED(promem_session_predict_slice(session, 1, numbers[n], NULL, 0, NULL));
        for (int axis = 0; axis < 3; axis++) {
            if (numbers[n] == SLICES && axis < 2)
                continue;
            memcpy(at, inside, sizeof at);
            at[axis] = numbers[n];
            REJECTED(promem_session_add_point(session, 1, at, 1));
            REJECTED(promem_session_add_box(session, 1, at, inside));
            REJECTED(promem_session_add_box(session, 1, inside, at));
            REJECTED(promem_session_add_scribble(session, 1, at, 1, 1));
            REJECTED(promem_session_add_box_3d(session, 1, at, inside, 1));
            REJECTED(promem_session_add_box_3d(session, 1, inside, at, 0));
            for (int end = 0; end < 2; end++) {
                int64_t extent[6] = {0, 0, 0, 0, 0, 0};
                extent[2 * axis + end] = numbers[n];
                REJECTED(promem_session_read_labels(session, extent, (uint16_t *)(void *)&room, 1));
                REJECTED(promem_session_read_mask(session, 1, extent, room.bytes, 1));
            }
        }
        promem_propagate_options walk = never_stopping();
        promem_job *job = NULL;
        walk.use_range = 1;
        walk.last_slice = numbers[n];
        REJECTED(promem_session_propagate(session, &walk, NULL, NULL));
        REJECTED(promem_session_start_propagate(session, &walk, &job));
        walk.first_slice = numbers[n];
        walk.last_slice = 4;
        REJECTED(promem_session_propagate(session, &walk, NULL, NULL));
        CHECK(job == NULL);
    }
    const uint32_t objects[] = {0, 65536, INT32_MAX, UINT32_MAX};
    for (EACH(n, objects)) {
        REJECTED(promem_session_add_point(session, objects[n], inside, 1));
        REJECTED(promem_session_add_box(session, objects[n], inside, inside));
        REJECTED(promem_session_add_mask(session, objects[n], 4, disk, PLANE));
        REJECTED(promem_session_undo(session, objects[n], NULL));
        REJECTED(promem_session_add_scribble(session, objects[n], inside, 1, 1));
        REJECTED(promem_session_add_lasso(session, objects[n], inside, 1, 1));
        REJECTED(promem_session_add_box_3d(session, objects[n], inside, inside, 1));
        REJECTED(promem_session_remove_slice(session, objects[n], 4));
        REJECTED(promem_session_remove_object(session, objects[n]));
        REJECTED(promem_session_predict_slice(session, objects[n], 4, NULL, 0, NULL));
        REJECTED(promem_session_read_mask(session, objects[n], NULL, room.bytes, VOXELS));
        REJECTED(promem_session_read_scores(session, objects[n], (double *)(void *)&room, SLICES));
    }
    REJECTED(promem_session_set_axis(session, UINT32_MAX));
    REJECTED(promem_set_thread_count(UINT32_MAX));
    REJECTED(promem_set_log_callback(NULL, NULL, INT32_MIN));
    CHECK(promem_device_name(UINT32_MAX) == NULL && strcmp(promem_status_name(INT32_MIN), "unknown status") == 0);
    CHECK(untouched());
}

static void what_is_not_a_number_is_refused(promem_session *session)
{
    promem_session_options options;
    promem_session *made = NULL;
    promem_volume volume;
    for (EACH(n, doubles)) {
        double value = doubles[n];
        INVALID(promem_session_set_window(session, value, 1));
        INVALID(promem_session_set_window(session, 1, value));
        volume = scan();
        OK(promem_session_options_init(&options, sizeof options));
        options.window_width = value;
        INVALID(promem_session_new(model, &volume, &options, &made));
        options.window_width = 1;
        options.window_level = value;
        INVALID(promem_session_new(model, &volume, &options, &made));
        for (int at = 0; at < 12; at++) {
            volume = scan();
            volume.ijk_to_ras[at / 4][at % 4] = value;
            REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_BAD_FORMAT, "inverse");
        }
        float *weights[3];
        promem_propagate_options walk;
        weights[0] = &walk.presence_threshold, weights[1] = &walk.accept_iou, weights[2] = &walk.intensity_weight;
        for (int at = 0; at < 3; at++) {
            walk = never_stopping();
            *weights[at] = (float)value;
            if (at == 2 && value < 0)
                continue; /* below 0: none */
            INVALID(promem_session_propagate(session, &walk, NULL, NULL));
        }
    }
    CHECK(made == NULL);
}

static void misaligned_pointers_are_refused(promem_session *session)
{
    int64_t inside[3] = {1, 1, 4};
    promem_volume volume = scan();
    promem_job *job = NULL;
    promem_session *made = NULL;
    size_t count;
    uint32_t any;
#define MISALIGNED(call) REFUSED(call, PROMEM_INVALID_ARGUMENT, "expected a multiple of")
    MISALIGNED(promem_model_options_init(odd(), sizeof(promem_model_options)));
    MISALIGNED(promem_volume_init(odd(), 8));
    MISALIGNED(promem_session_options_init(odd(), 8));
    MISALIGNED(promem_propagate_options_init(odd(), 8));
    MISALIGNED(promem_model_load(model_path, odd(), &(promem_model *){NULL}));
    MISALIGNED(promem_model_load(model_path, NULL, odd()));
    MISALIGNED(promem_model_describe(odd(), odd()));
    MISALIGNED(promem_model_describe(model, odd()));
    MISALIGNED(promem_model_metadata(odd(), "a", odd()));
    MISALIGNED(promem_model_metadata(model, "promem.format", odd()));
    MISALIGNED(promem_session_new(odd(), &volume, NULL, &made));
    MISALIGNED(promem_session_new(model, odd(), NULL, &made));
    MISALIGNED(promem_session_new(model, &volume, odd(), &made));
    MISALIGNED(promem_session_new(model, &volume, NULL, odd()));
    MISALIGNED(promem_session_slices(odd(), NULL, NULL, NULL, NULL));
    MISALIGNED(promem_session_slices(session, odd(), NULL, NULL, NULL));
    MISALIGNED(promem_session_slices(session, &any, odd(), NULL, NULL));
    MISALIGNED(promem_session_slices(session, &any, NULL, odd(), NULL));
    MISALIGNED(promem_session_slices(session, &any, NULL, NULL, odd()));
    MISALIGNED(promem_session_set_axis(odd(), 1));
    MISALIGNED(promem_session_set_window(odd(), 1, 1));
    MISALIGNED(promem_session_set_cache_limit(odd(), 1));
    MISALIGNED(promem_session_reset(odd()));
    MISALIGNED(promem_session_add_point(odd(), 1, inside, 1));
    MISALIGNED(promem_session_add_point(session, 1, odd(), 1));
    MISALIGNED(promem_session_add_box(session, 1, odd(), inside));
    MISALIGNED(promem_session_add_box(session, 1, inside, odd()));
    MISALIGNED(promem_session_add_mask(odd(), 1, 4, disk, PLANE));
    MISALIGNED(promem_session_undo(odd(), 1, NULL));
    MISALIGNED(promem_session_undo(session, 1, odd()));
    MISALIGNED(promem_session_add_scribble(session, 1, odd(), 1, 1));
    MISALIGNED(promem_session_add_lasso(session, 1, odd(), 3, 1));
    MISALIGNED(promem_session_add_box_3d(session, 1, odd(), inside, 1));
    MISALIGNED(promem_session_add_box_3d(session, 1, inside, odd(), 1));
    MISALIGNED(promem_session_set_initial(session, odd(), VOXELS));
    MISALIGNED(promem_session_remove_slice(odd(), 1, 4));
    MISALIGNED(promem_session_remove_object(odd(), 1));
    MISALIGNED(promem_session_clear_prompts(odd()));
    MISALIGNED(promem_session_prompt_count(odd(), &count));
    MISALIGNED(promem_session_prompt_count(session, odd()));
    MISALIGNED(promem_session_list_prompts(session, odd(), 1));
    MISALIGNED(promem_session_predict_slice(session, 1, 4, NULL, 0, odd()));
    MISALIGNED(promem_session_propagate(session, odd(), NULL, NULL));
    MISALIGNED(promem_session_cancel(odd()));
    MISALIGNED(promem_session_start_propagate(session, odd(), &job));
    MISALIGNED(promem_session_start_propagate(session, NULL, odd()));
    MISALIGNED(promem_session_start_precompute(session, odd()));
    MISALIGNED(promem_job_poll(odd(), odd()));
    MISALIGNED(promem_job_take_ready(odd(), odd(), 1, &count));
    MISALIGNED(promem_job_cancel(odd()));
    MISALIGNED(promem_job_wait(odd(), 0, NULL));
    MISALIGNED(promem_session_read_labels(session, NULL, odd(), VOXELS));
    MISALIGNED(promem_session_read_labels(session, odd(), (uint16_t *)(void *)&room, VOXELS));
    MISALIGNED(promem_session_read_mask(session, 1, odd(), room.bytes, VOXELS));
    MISALIGNED(promem_session_read_scores(session, 1, odd(), SLICES));
    MISALIGNED(promem_session_take_changes(session, odd(), &any));
    MISALIGNED(promem_session_take_changes(session, (int64_t *)(void *)&room, odd()));
    OK(promem_session_start_precompute(session, &job));
    MISALIGNED(promem_job_poll(job, odd()));
    MISALIGNED(promem_job_wait(job, -1, odd()));
    MISALIGNED(promem_job_take_ready(job, odd(), 1, &count));
    MISALIGNED(promem_job_take_ready(job, (void *)&room, 1, odd()));
    promem_job_free(job);
    CHECK(made == NULL && untouched());
}

static void structs_of_any_size_are_read_within_it(promem_session *session)
{
    const uint32_t sizes[] = {0, 1, 4, 7, 12, UINT32_MAX, INT32_MAX, (uint32_t)INT32_MAX + 1};
    for (EACH(n, sizes)) {
        /* What lies behind the first field is not there, so that AddressSanitizer would see a look at it. */
        uint64_t *alone = malloc(sizeof *alone);
        uint32_t *size = (uint32_t *)(void *)alone;
        promem_session *made = NULL;
        promem_model *loaded = NULL;
        promem_job *job = NULL;
        promem_volume volume = scan();
        *alone = 0;
        *size = sizes[n];
        CHECK(promem_model_load(model_path, (void *)alone, &loaded) != PROMEM_OK);
        CHECK(promem_model_describe(model, (void *)alone) != PROMEM_OK);
        CHECK(promem_session_new(model, (void *)alone, NULL, &made) != PROMEM_OK);
        CHECK(promem_session_new(model, &volume, (void *)alone, &made) != PROMEM_OK);
        CHECK(promem_session_propagate(session, (void *)alone, NULL, NULL) != PROMEM_OK);
        CHECK(promem_session_start_propagate(session, (void *)alone, &job) != PROMEM_OK);
        CHECK(!made && !loaded && !job && *size == sizes[n]);
        free(alone);
    }
    promem_session_options options;
    promem_session *made = NULL;
    promem_volume volume = scan();
    OK(promem_session_options_init(&options, sizeof options));
    options.reserved = 1;
    REFUSED(promem_session_new(model, &volume, &options, &made), PROMEM_INVALID_ARGUMENT, "promem_session_options: reserved is 1, expected 0");
    CHECK(made == NULL);
}

static void scans_that_cannot_be_are_refused(void)
{
    const uint64_t sizes[] = {0, (uint64_t)1 << 31, (uint64_t)1 << 32, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX};
    const int64_t strides[] = {INT64_MAX, INT64_MIN, INT64_MAX / 4, INT64_MIN / 4};
    promem_session *made = NULL;
    promem_session_options copied;
    promem_volume volume;
    OK(promem_session_options_init(&copied, sizeof copied));
    copied.copy_voxels = 1;
    for (int axis = 0; axis < 3; axis++) {
        for (EACH(n, sizes)) {
            volume = scan();
            volume.dims[axis] = sizes[n];
            REJECTED(promem_session_new(model, &volume, NULL, &made));
            volume.dims[(axis + 1) % 3] = sizes[n];
            REJECTED(promem_session_new(model, &volume, &copied, &made));
            volume.dims[(axis + 2) % 3] = sizes[n];
            REJECTED(promem_session_new(model, &volume, NULL, &made));
        }
        for (EACH(n, strides)) {
            volume = scan();
            volume.strides[axis] = strides[n];
            REJECTED(promem_session_new(model, &volume, NULL, &made));
        }
    }
    volume = scan();
    volume.voxels = (void *)((uintptr_t)0 - 2);
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_INVALID_ARGUMENT, "do not fit in memory");
    /* One voxel, shown as very many: the copy is what memory cannot hold. */
    volume = scan();
    volume.scalar_type = PROMEM_UINT8;
    volume.dims[0] = volume.dims[1] = volume.dims[2] = 1 << 15;
    volume.strides[0] = 1; /* and nothing along j and k */
    REFUSED(promem_session_new(model, &volume, &copied, &made), PROMEM_COMPUTE_ERROR, "cannot copy");
    CHECK(made == NULL);
}

static void image_sizes_have_a_bound(void)
{
    const uint32_t sizes[] = {1, 31, 33, 8191, 8193, 8224, 100000, INT32_MAX, UINT32_MAX};
    promem_model_options options;
    promem_model *loaded = NULL;
    OK(promem_model_options_init(&options, sizeof options));
    for (EACH(n, sizes)) {
        options.image_size = sizes[n];
        REFUSED(promem_model_load(model_path, &options, &loaded), PROMEM_INVALID_ARGUMENT, "expected a positive multiple of 32, at most 8192");
    }
    CHECK(loaded == NULL);
}

/* Results that overlap with each other or with what is read are as good as separate ones, or one hides the other. */
static void buffers_may_overlap(void)
{
    promem_volume volume = scan();
    promem_session *session = NULL;
    union {
        int16_t voxels[VOXELS];
        uint16_t labels[VOXELS];
        uint8_t mask[2 * VOXELS];
        double score;
        uint64_t size;
        uint32_t axis;
    } *shared = malloc(sizeof *shared);
    CHECK(shared);
    memcpy(shared->voxels, voxels, sizeof voxels);
    volume.voxels = shared;
    OK(promem_session_new(model, &volume, NULL, &session));
    OK(promem_session_slices(session, &shared->axis, &shared->size, &shared->size, &shared->size));
    CHECK(shared->size == WIDTH);
    memcpy(shared->voxels, voxels, sizeof voxels);
    for (int n = 0; n < PLANE; n++)
        shared->mask[n] = disk[n];
    OK(promem_session_add_mask(session, 1, 4, shared->mask, PLANE));
    memcpy(shared->voxels, voxels, sizeof voxels);
    /* The preview into the scan that it is made of, and its score into the preview. */
    OK(promem_session_predict_slice(session, 1, 4, shared->mask, PLANE, &shared->score));
    CHECK(shared->score == 1.0 && memcmp(shared->mask + sizeof(double), disk + sizeof(double), PLANE - sizeof(double)) == 0);
    memcpy(shared->voxels, voxels, sizeof voxels);
    promem_propagate_options walk = never_stopping();
    walk.use_range = 1, walk.first_slice = 3, walk.last_slice = 5;
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    OK(promem_session_read_labels(session, NULL, shared->labels, VOXELS));
    for (int n = 0; n < PLANE; n++)
        CHECK(shared->labels[4 * PLANE + n] == disk[n]);
    int64_t extent[6] = {0, 0, 0, 0, 0, 0};
    OK(promem_session_read_labels(session, extent, (uint16_t *)(void *)extent, 1));
    CHECK(*(uint16_t *)(void *)extent == 0);
    OK(promem_session_take_changes(session, extent, (uint32_t *)(void *)extent));
    CHECK(*(uint32_t *)(void *)extent == 1);
    promem_session_free(session);
    free(shared);
}

int main(int count, char **arguments)
{
    CHECK(count >= 2);
    model_path = arguments[1];
    prepare();
    memset(&room, 0x55, sizeof room);
    promem_session *session = new_session();
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
#define RUN(test) (test, printf("%s\n", #test), fflush(stdout))
    RUN(counts_are_compared_before_memory_is_touched(session));
    RUN(numbers_are_compared_before_they_are_used(session));
    RUN(what_is_not_a_number_is_refused(session));
    RUN(misaligned_pointers_are_refused(session));
    RUN(structs_of_any_size_are_read_within_it(session));
    RUN(scans_that_cannot_be_are_refused());
    RUN(image_sizes_have_a_bound());
    RUN(buffers_may_overlap());
    /* After all that the session still works. */
    promem_propagate_options walk = never_stopping();
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    promem_session_free(session);
    promem_model_free(model);
    return 0;
}

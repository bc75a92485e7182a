/* The C interface, used rightly and wrongly. Arguments: a model file, the name of one test or "all", and for `rounds` their number. */
#define _POSIX_C_SOURCE 200809L
#include "promem.h"

#include "check.h"
#include "scan.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

static void the_library_says_what_it_is(void)
{
    CHECK(promem_abi_version() == PROMEM_ABI_VERSION);
    CHECK(strlen(promem_version()) >= 5);
    CHECK(strcmp(promem_libtorch_version(), "2.11.0") == 0);
    CHECK(promem_device_count() >= 1);
    CHECK(strcmp(promem_device_name(0), "cpu") == 0);
    CHECK(promem_device_name(promem_device_count()) == NULL);
    CHECK(strcmp(promem_status_name(PROMEM_BUSY), "PROMEM_BUSY") == 0);
    CHECK(strcmp(promem_status_name(12345), "unknown status") == 0);
    CHECK(promem_thread_count() == 1);
    REFUSED(promem_set_thread_count(1000000), PROMEM_INVALID_ARGUMENT, "expected at most 4096");
}

static void a_model_describes_itself(void)
{
    promem_model_info info = {0};
    info.struct_size = sizeof info;
    OK(promem_model_describe(model, &info));
    CHECK(info.struct_size == sizeof info);
    CHECK(info.image_size > 0 && info.parameters > 1000);
    CHECK(strstr(info.network, "toy") && strcmp(info.device, "cpu") == 0);
    CHECK(strcmp(info.path, model_path) == 0);
    const char *value = NULL;
    OK(promem_model_metadata(model, "promem.format", &value));
    CHECK(value && strlen(value) > 0);
    REFUSED(promem_model_metadata(model, "nonsense", &value), PROMEM_INVALID_ARGUMENT, "the model has promem.");
}

static void null_is_refused_everywhere_and_freed_anywhere(void)
{
    promem_session *session = new_session();
    promem_volume volume = scan();
    promem_job *job = NULL;
    promem_job_state state = {0};
    promem_slice_result result;
    int64_t ijk[3] = {1, 1, 1}, extent[6];
    uint32_t any;
    size_t count;
    const char *text;
    state.struct_size = sizeof state;
    struct {
        promem_status status;
        const char *what;
    } calls[] = {
#define NULLED(call) {call, #call}
        NULLED(promem_model_load(model_path, NULL, NULL)), NULLED(promem_model_options_init(NULL, 24)),
        NULLED(promem_volume_init(NULL, 160)), NULLED(promem_session_options_init(NULL, 40)),
        NULLED(promem_propagate_options_init(NULL, sizeof(promem_propagate_options))), NULLED(promem_model_describe(NULL, NULL)),
        NULLED(promem_model_describe(model, NULL)), NULLED(promem_model_metadata(NULL, "a", &text)),
        NULLED(promem_model_metadata(model, NULL, &text)), NULLED(promem_model_metadata(model, "promem.format", NULL)),
        NULLED(promem_session_new(NULL, &volume, NULL, &session)), NULLED(promem_session_new(model, NULL, NULL, &session)),
        NULLED(promem_session_new(model, &volume, NULL, NULL)), NULLED(promem_session_slices(NULL, NULL, NULL, NULL, NULL)),
        NULLED(promem_session_set_axis(NULL, 1)), NULLED(promem_session_set_window(NULL, 1, 1)),
        NULLED(promem_session_set_cache_limit(NULL, 0)), NULLED(promem_session_reset(NULL)),
        NULLED(promem_session_add_point(NULL, 1, ijk, 1)), NULLED(promem_session_add_point(session, 1, NULL, 1)),
        NULLED(promem_session_add_box(NULL, 1, ijk, ijk)), NULLED(promem_session_add_box(session, 1, ijk, NULL)),
        NULLED(promem_session_add_box(session, 1, NULL, ijk)), NULLED(promem_session_add_mask(NULL, 1, 4, disk, PLANE)),
        NULLED(promem_session_add_mask(session, 1, 4, NULL, PLANE)), NULLED(promem_session_remove_last_point(NULL, 1, 4)),
        NULLED(promem_session_remove_slice(NULL, 1, 4)), NULLED(promem_session_remove_object(NULL, 1)),
        NULLED(promem_session_clear_prompts(NULL)), NULLED(promem_session_prompt_count(NULL, &count)),
        NULLED(promem_session_prompt_count(session, NULL)), NULLED(promem_session_list_prompts(NULL, NULL, 0)),
        NULLED(promem_session_list_prompts(session, NULL, 0)), NULLED(promem_session_predict_slice(NULL, 1, 4, NULL, 0, NULL)),
        NULLED(promem_session_propagate(NULL, NULL, NULL, NULL)), NULLED(promem_session_cancel(NULL)),
        NULLED(promem_session_start_propagate(NULL, NULL, &job)), NULLED(promem_session_start_propagate(session, NULL, NULL)),
        NULLED(promem_session_start_precompute(NULL, &job)), NULLED(promem_session_start_precompute(session, NULL)),
        NULLED(promem_job_poll(NULL, &state)), NULLED(promem_job_take_ready(NULL, &result, 1, &count)),
        NULLED(promem_job_cancel(NULL)), NULLED(promem_job_wait(NULL, 0, &state)),
        NULLED(promem_session_read_labels(NULL, NULL, NULL, 0)), NULLED(promem_session_read_labels(session, NULL, NULL, VOXELS)),
        NULLED(promem_session_read_mask(NULL, 1, NULL, disk, PLANE)), NULLED(promem_session_read_mask(session, 1, NULL, NULL, VOXELS)),
        NULLED(promem_session_read_scores(NULL, 1, NULL, 0)), NULLED(promem_session_read_scores(session, 1, NULL, SLICES)),
        NULLED(promem_session_take_changes(NULL, extent, &any)), NULLED(promem_session_take_changes(session, NULL, &any)),
        NULLED(promem_session_take_changes(session, extent, NULL)),
    };
    for (size_t n = 0; n < sizeof calls / sizeof *calls; n++)
        if (calls[n].status != PROMEM_NULL_ARGUMENT) {
            fprintf(stderr, "%s gives %s\n", calls[n].what, promem_status_name(calls[n].status));
            exit(1);
        }
    CHECK(session != NULL && job == NULL);
    CHECK(strcmp(promem_job_error_message(NULL), "") == 0);
    promem_model_free(NULL);
    promem_session_free(NULL);
    promem_job_free(NULL);
    promem_session_free(session);
}

static void structs_may_be_smaller_and_not_larger(void)
{
    promem_session *session = new_session();
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    /* A caller from before `windows` existed: the memory behind the struct is not read. */
    promem_propagate_options *older = malloc(offsetof(promem_propagate_options, windows));
    OK(promem_propagate_options_init(older, offsetof(promem_propagate_options, windows)));
    older->never_stop = 1;
    older->use_range = 1;
    older->first_slice = 3;
    older->last_slice = 5;
    OK(promem_session_propagate(session, older, NULL, NULL));
    free(older);
    promem_propagate_options newer = never_stopping();
    newer.struct_size = sizeof newer + 8;
    REFUSED(promem_session_propagate(session, &newer, NULL, NULL), PROMEM_STRUCT_TOO_LARGE, "promem_propagate_options");
    REFUSED(promem_propagate_options_init(&newer, sizeof newer + 8), PROMEM_STRUCT_TOO_LARGE, "older than the header");
    newer.struct_size = 0;
    REFUSED(promem_session_propagate(session, &newer, NULL, NULL), PROMEM_INVALID_ARGUMENT, "is it initialised?");
    /* What is filled is filled as far as it reaches. */
    promem_model_info info;
    memset(&info, 0x55, sizeof info);
    info.struct_size = offsetof(promem_model_info, network);
    OK(promem_model_describe(model, &info));
    CHECK(info.parameters > 1000 && info.struct_size == offsetof(promem_model_info, network));
    CHECK(*(unsigned char *)&info.network == 0x55);
    promem_session_free(session);
}

static void wrong_arguments_are_named(void)
{
    promem_session *session = new_session(), *made = NULL;
    promem_model *loaded = NULL;
    promem_model_options options;
    int64_t inside[3] = {1, 1, 1}, outside[3] = {WIDTH, 0, 0}, negative[3] = {-1, 0, 0}, other_slice[3] = {1, 1, 2};
    uint8_t mask[PLANE] = {0};

    REFUSED(promem_model_load("no/such/file", NULL, &loaded), PROMEM_IO_ERROR, "no/such/file");
    REFUSED(promem_model_load("\xff\xfe", NULL, &loaded), PROMEM_INVALID_ARGUMENT, "path: it is not UTF-8");
    OK(promem_model_options_init(&options, sizeof options));
    options.device = "gpu";
    REFUSED(promem_model_load(model_path, &options, &loaded), PROMEM_INVALID_ARGUMENT, "device `gpu`");
    options.device = "cuda:99";
    REFUSED(promem_model_load(model_path, &options, &loaded), PROMEM_COMPUTE_ERROR, "cuda:99");
    options.device = "cpu";
    options.precision = "fp8";
    REFUSED(promem_model_load(model_path, &options, &loaded), PROMEM_INVALID_ARGUMENT, "precision `fp8`");
    CHECK(loaded == NULL);

    promem_volume volume = scan();
    volume.scalar_type = 11;
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_INVALID_ARGUMENT, "scalar type 11");
    volume = scan();
    volume.dims[1] = 0;
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_INVALID_ARGUMENT, "expected three positive sizes");
    volume.dims[0] = volume.dims[1] = volume.dims[2] = UINT64_MAX;
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_INVALID_ARGUMENT, "dimensions");
    volume = scan();
    volume.strides[2] = INT64_MIN;
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_INVALID_ARGUMENT, "do not fit in memory");
    volume = scan();
    volume.ijk_to_ras[2][2] = 0;
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_BAD_FORMAT, "no inverse");
    volume = scan();
    volume.voxels = NULL;
    REFUSED(promem_session_new(model, &volume, NULL, &made), PROMEM_NULL_ARGUMENT, "voxels");
    CHECK(made == NULL);

    REFUSED(promem_session_set_axis(session, 4), PROMEM_INVALID_ARGUMENT, "axis 4");
    REFUSED(promem_session_set_window(session, -1, 0), PROMEM_INVALID_ARGUMENT, "window -1,0");
    REFUSED(promem_session_set_window(session, NAN, 0), PROMEM_INVALID_ARGUMENT, "expected a positive width");
    REFUSED(promem_session_add_point(session, 0, inside, 1), PROMEM_INVALID_ARGUMENT, "object 0");
    REFUSED(promem_session_add_point(session, 65536, inside, 1), PROMEM_INVALID_ARGUMENT, "object 65536");
    REFUSED(promem_session_add_point(session, 1, outside, 1), PROMEM_INVALID_ARGUMENT, "point 40,0,0: outside the volume of 40x36x9");
    REFUSED(promem_session_add_point(session, 1, negative, 1), PROMEM_INVALID_ARGUMENT, "a negative index");
    REFUSED(promem_session_add_box(session, 1, inside, other_slice), PROMEM_INVALID_ARGUMENT, "expected one slice");
    REFUSED(promem_session_add_mask(session, 1, 4, mask, PLANE), PROMEM_INVALID_ARGUMENT, "it is empty");
    REFUSED(promem_session_add_mask(session, 1, 4, disk, PLANE - 1), PROMEM_INVALID_ARGUMENT, "expected 36 rows of 40 columns");
    REFUSED(promem_session_add_mask(session, 1, SLICES, disk, PLANE), PROMEM_INVALID_ARGUMENT, "slice 9: expected 0 to 8");
    REFUSED(promem_session_add_mask(session, 1, -1, disk, PLANE), PROMEM_INVALID_ARGUMENT, "slice -1");
    REFUSED(promem_session_remove_slice(session, 1, 4), PROMEM_INVALID_ARGUMENT, "no prompt");
    REFUSED(promem_session_remove_last_point(session, 1, 4), PROMEM_INVALID_ARGUMENT, "no point");
    REFUSED(promem_session_remove_object(session, 1), PROMEM_INVALID_ARGUMENT, "no prompt");
    REFUSED(promem_session_predict_slice(session, 1, 4, NULL, 0, NULL), PROMEM_INVALID_ARGUMENT, "to predict from");
    REFUSED(promem_session_propagate(session, NULL, NULL, NULL), PROMEM_INVALID_ARGUMENT, "no prompt");

    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    REFUSED(promem_session_predict_slice(session, 1, 4, mask, PLANE + 1, NULL), PROMEM_INVALID_ARGUMENT, "expected 1440");
    promem_propagate_options walk = never_stopping();
    walk.direction = 3;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "direction 3");
    walk = never_stopping();
    walk.windows[0] = 7;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "window 7");
    walk = never_stopping();
    walk.windows[1] = 2;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "zeros only at the end");
    walk = never_stopping();
    walk.beams = 17;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "beams 17");
    walk = never_stopping();
    walk.object = 2;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "object 2: it has no prompt");
    walk = never_stopping();
    walk.use_range = 1;
    walk.first_slice = 5;
    walk.last_slice = 8;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "lies outside the range 5,8");
    walk.last_slice = 9;
    REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "slice 9");
    uint32_t *numbers[] = {&walk.memory, &walk.include_prompt, &walk.all_pointers, &walk.prior, &walk.field_of_view};
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        walk = never_stopping();
        *numbers[n] = 99;
        REFUSED(promem_session_propagate(session, &walk, NULL, NULL), PROMEM_INVALID_ARGUMENT, "99: expected PROMEM_");
    }

    uint16_t labels[8] = {7, 7, 7, 7, 7, 7, 7, 7};
    int64_t reversed[6] = {3, 2, 0, 0, 0, 0}, beyond[6] = {0, 0, 0, HEIGHT, 0, 0}, eight[6] = {0, 1, 0, 1, 0, 1};
    REFUSED(promem_session_read_labels(session, reversed, labels, 8), PROMEM_INVALID_ARGUMENT, "extent 3,2 along i");
    REFUSED(promem_session_read_labels(session, beyond, labels, 8), PROMEM_INVALID_ARGUMENT, "extent 0,36 along j");
    REFUSED(promem_session_read_labels(session, eight, labels, 7), PROMEM_INVALID_ARGUMENT, "room for 7 values, expected 8");
    CHECK(labels[0] == 7); /* untouched on failure */
    OK(promem_session_read_labels(session, eight, labels, 8));
    CHECK(labels[0] == 0 && strcmp(promem_last_error_message(), "") == 0);
    /* After all that it still works. */
    walk = never_stopping();
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    promem_session_free(session);
}

static void prompts_are_listed_and_taken_back(void)
{
    promem_session *session = new_session();
    int64_t a[3] = {3, 3, 2}, b[3] = {9, 8, 2};
    uint32_t axis = 0;
    uint64_t count = 0, rows = 0, columns = 0;
    OK(promem_session_slices(session, &axis, &count, &rows, &columns));
    CHECK(axis == PROMEM_AXIS_K && count == SLICES && rows == HEIGHT && columns == WIDTH);
    OK(promem_session_add_point(session, 2, a, 1));
    OK(promem_session_add_point(session, 2, b, 0));
    OK(promem_session_add_box(session, 2, a, b));
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    size_t prompts = 0;
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 2);
    promem_prompt all[2];
    OK(promem_session_list_prompts(session, all, 2));
    CHECK(all[0].object == 1 && all[0].slice == 4 && all[0].has_mask && !all[0].has_box && all[0].points == 0);
    CHECK(all[1].object == 2 && all[1].slice == 2 && !all[1].has_mask && all[1].has_box && all[1].points == 2);
    REFUSED(promem_session_list_prompts(session, all, 1), PROMEM_INVALID_ARGUMENT, "expected 2");
    OK(promem_session_remove_last_point(session, 2, 2));
    OK(promem_session_list_prompts(session, all, 2));
    CHECK(all[1].points == 1);
    OK(promem_session_remove_slice(session, 2, 2));
    OK(promem_session_remove_object(session, 1));
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 0);
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_set_axis(session, PROMEM_AXIS_I));
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 0);
    OK(promem_session_slices(session, &axis, &count, &rows, &columns));
    CHECK(axis == PROMEM_AXIS_I && count == WIDTH && rows == SLICES && columns == HEIGHT);
    promem_session_free(session);
}

static void a_given_mask_comes_back_voxel_for_voxel(void)
{
    promem_session *session = new_session();
    OK(promem_session_add_mask(session, 3, 4, disk, PLANE));
    promem_propagate_options walk = never_stopping();
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    uint16_t *labels = malloc(VOXELS * sizeof *labels);
    uint8_t *mask = malloc(VOXELS);
    double scores[SLICES];
    OK(promem_session_read_labels(session, NULL, labels, VOXELS));
    OK(promem_session_read_mask(session, 3, NULL, mask, VOXELS));
    for (int n = 0; n < VOXELS; n++)
        CHECK(labels[n] == (mask[n] ? 3 : 0));
    for (int n = 0; n < PLANE; n++)
        CHECK(mask[4 * PLANE + n] == disk[n]);
    OK(promem_session_read_scores(session, 3, scores, SLICES));
    CHECK(scores[4] == 1.0);
    OK(promem_session_read_scores(session, 4, scores, SLICES));
    CHECK(isnan(scores[4]));
    int64_t part[6] = {10, 29, 5, 30, 4, 4};
    uint16_t cut[20 * 26];
    OK(promem_session_read_labels(session, part, cut, 20 * 26));
    for (int n = 0; n < 20 * 26; n++)
        CHECK(cut[n] == labels[4 * PLANE + (5 + n / 20) * WIDTH + 10 + n % 20]);
    int64_t changed[6];
    uint32_t any = 0;
    OK(promem_session_take_changes(session, changed, &any));
    CHECK(any && changed[4] <= 4 && changed[5] >= 4);
    for (int n = 0; n < VOXELS; n++) {
        int64_t at[3] = {n % WIDTH, n / WIDTH % HEIGHT, n / PLANE};
        for (int axis = 0; axis < 3; axis++)
            CHECK(!labels[n] || (at[axis] >= changed[2 * axis] && at[axis] <= changed[2 * axis + 1]));
    }
    OK(promem_session_take_changes(session, changed, &any));
    CHECK(!any);
    uint8_t preview[PLANE];
    double score = 0;
    OK(promem_session_predict_slice(session, 3, 4, preview, PLANE, &score));
    CHECK(score == 1.0 && memcmp(preview, disk, PLANE) == 0);
    OK(promem_session_reset(session));
    OK(promem_session_read_labels(session, NULL, labels, VOXELS));
    for (int n = 0; n < VOXELS; n++)
        CHECK(labels[n] == 0);
    free(labels);
    free(mask);
    promem_session_free(session);
}

static void copied_voxels_may_go_away(void)
{
    promem_session *borrowed = new_session(), *copied = NULL;
    promem_volume volume = scan();
    promem_session_options options;
    OK(promem_session_options_init(&options, sizeof options));
    options.copy_voxels = 1;
    int16_t *passing = malloc(sizeof voxels);
    memcpy(passing, voxels, sizeof voxels);
    volume.voxels = passing;
    OK(promem_session_new(model, &volume, &options, &copied));
    memset(passing, 0, sizeof voxels);
    free(passing);
    uint16_t *labels[2];
    promem_session *both[2] = {borrowed, copied};
    promem_propagate_options walk = never_stopping();
    for (int n = 0; n < 2; n++) {
        labels[n] = malloc(VOXELS * sizeof *labels[n]);
        OK(promem_session_add_mask(both[n], 1, 4, disk, PLANE));
        OK(promem_session_propagate(both[n], &walk, NULL, NULL));
        OK(promem_session_read_labels(both[n], NULL, labels[n], VOXELS));
        promem_session_free(both[n]);
    }
    CHECK(memcmp(labels[0], labels[1], VOXELS * sizeof *labels[0]) == 0);
    free(labels[0]);
    free(labels[1]);
}

struct calls {
    promem_session *session;
    int count;
    int stop_at;
    int after_cancel;
    int cancel_at;
};

static int32_t counted(const promem_progress *progress, void *user_data)
{
    struct calls *calls = user_data;
    CHECK(progress->struct_size == sizeof *progress && progress->object == 1 && progress->expected == SLICES);
    calls->count++;
    CHECK(progress->done == (uint64_t)calls->count);
    /* Reading is allowed, changing is refused. */
    double scores[SLICES];
    OK(promem_session_read_scores(calls->session, 1, scores, SLICES));
    CHECK(!progress->found || scores[progress->slice] >= progress->score);
    REFUSED(promem_session_clear_prompts(calls->session), PROMEM_BUSY, "in use");
    REFUSED(promem_session_propagate(calls->session, NULL, NULL, NULL), PROMEM_BUSY, "in use");
    size_t prompts = 0;
    OK(promem_session_prompt_count(calls->session, &prompts));
    CHECK(prompts == 1);
    if (calls->cancel_at == calls->count)
        OK(promem_session_cancel(calls->session));
    return calls->count != calls->stop_at;
}

static void a_walk_stops_when_told_and_goes_on(void)
{
    promem_session *session = new_session();
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    promem_propagate_options walk = never_stopping();
    struct calls calls = {session, 0, 3, 0, 0};
    REFUSED(promem_session_propagate(session, &walk, counted, &calls), PROMEM_CANCELLED, "are kept");
    CHECK(calls.count == 3);
    calls = (struct calls){session, 0, 0, 0, 5};
    REFUSED(promem_session_propagate(session, &walk, counted, &calls), PROMEM_CANCELLED, "are kept");
    CHECK(calls.count == 5); /* not one slice more */
    calls = (struct calls){session, 0, 0, 0, 0};
    OK(promem_session_propagate(session, &walk, counted, &calls));
    CHECK(calls.count == SLICES);
    uint16_t *whole = malloc(VOXELS * sizeof *whole), *bits = malloc(VOXELS * sizeof *bits);
    OK(promem_session_read_labels(session, NULL, bits, VOXELS));
    promem_session_free(session);
    session = new_session();
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    OK(promem_session_read_labels(session, NULL, whole, VOXELS));
    CHECK(memcmp(whole, bits, VOXELS * sizeof *whole) == 0);
    promem_session_free(session);
    free(whole);
    free(bits);
}

static void a_job_is_followed_cancelled_and_outlived(void)
{
    promem_session *session = new_session();
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    promem_propagate_options walk = never_stopping();
    promem_job *job = NULL, *second = NULL;
    promem_job_state state = {0};
    state.struct_size = sizeof state;
    OK(promem_session_start_propagate(session, &walk, &job));
    REFUSED(promem_session_start_propagate(session, &walk, &second), PROMEM_BUSY, "in use");
    REFUSED(promem_session_add_mask(session, 2, 4, disk, PLANE), PROMEM_BUSY, "in use");
    int seen[SLICES] = {0}, total = 0;
    for (int running = 1; running || total < SLICES;) {
        promem_slice_result ready[4];
        size_t count = 0;
        OK(promem_job_poll(job, &state));
        running = (int)state.running;
        OK(promem_job_take_ready(job, ready, 4, &count));
        for (size_t n = 0; n < count; n++, total++) {
            CHECK(ready[n].object == 1 && !seen[ready[n].slice]++);
            uint8_t plane[PLANE];
            int64_t extent[6] = {0, WIDTH - 1, 0, HEIGHT - 1, ready[n].slice, ready[n].slice};
            OK(promem_session_read_mask(session, 1, extent, plane, PLANE));
            CHECK(!ready[n].found || memchr(plane, 1, PLANE));
        }
        CHECK(running || total == SLICES || count > 0);
    }
    CHECK(state.status == PROMEM_OK && state.done == SLICES && state.expected == SLICES);
    /* A job's slices are its own. */
    promem_slice_result ready[SLICES];
    size_t count = 0;
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    OK(promem_job_take_ready(job, ready, SLICES, &count));
    CHECK(count == 0);
    OK(promem_session_start_propagate(session, &walk, &second));
    OK(promem_job_wait(second, -1, NULL));
    OK(promem_job_take_ready(job, ready, SLICES, &count));
    CHECK(count == 0);
    OK(promem_job_take_ready(second, ready, SLICES, &count));
    CHECK(count == SLICES);
    promem_job_free(second);
    CHECK(strcmp(promem_job_error_message(job), "") == 0);
    promem_job_free(job);

    /* Cancelled at once, and waited for. */
    OK(promem_session_reset(session));
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_start_propagate(session, &walk, &job));
    OK(promem_job_cancel(job));
    OK(promem_job_wait(job, -1, &state));
    CHECK(!state.running && state.status == PROMEM_CANCELLED && state.done < SLICES);
    CHECK(strstr(promem_job_error_message(job), "cancelled"));
    promem_job_free(job);

    /* What goes wrong in a job is its status. */
    OK(promem_session_reset(session));
    OK(promem_session_start_propagate(session, &walk, &job));
    OK(promem_job_wait(job, -1, &state));
    CHECK(state.status == PROMEM_INVALID_ARGUMENT && strstr(promem_job_error_message(job), "no prompt"));
    promem_job_free(job);

    /* A job outlives its session, whose voxels are not read any more. */
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_start_propagate(session, &walk, &job));
    OK(promem_job_wait(job, 0, &state));
    promem_session_free(session);
    OK(promem_job_poll(job, &state));
    CHECK(!state.running);
    promem_job_free(job);

    /* And one that still runs is freed. */
    session = new_session();
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_start_precompute(session, &job));
    promem_job_free(job);
    OK(promem_session_start_propagate(session, &walk, &job));
    promem_job_free(job);
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    promem_session_free(session);
}

static void a_model_may_go_before_its_sessions(void)
{
    promem_model *own = NULL;
    OK(promem_model_load(model_path, NULL, &own));
    promem_volume volume = scan();
    promem_session *session = NULL;
    OK(promem_session_new(own, &volume, NULL, &session));
    promem_model_free(own);
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_propagate(session, NULL, NULL, NULL));
    promem_session_free(session);
}

struct worker {
    int slice;
    uint16_t labels[VOXELS];
};

static void *segment(void *argument)
{
    struct worker *worker = argument;
    promem_session *session = new_session();
    promem_propagate_options walk = never_stopping();
    OK(promem_session_add_mask(session, 1, worker->slice, disk, PLANE));
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    OK(promem_session_read_labels(session, NULL, worker->labels, VOXELS));
    promem_session_free(session);
    return NULL;
}

static void two_threads_find_what_each_finds_alone(void)
{
    struct worker *alone = calloc(2, sizeof *alone), *together = calloc(2, sizeof *together);
    pthread_t threads[2];
    for (int n = 0; n < 2; n++) {
        alone[n].slice = together[n].slice = 3 + n;
        segment(&alone[n]);
    }
    for (int n = 0; n < 2; n++)
        CHECK(pthread_create(&threads[n], NULL, segment, &together[n]) == 0);
    for (int n = 0; n < 2; n++) {
        CHECK(pthread_join(threads[n], NULL) == 0);
        CHECK(memcmp(alone[n].labels, together[n].labels, sizeof alone[n].labels) == 0);
    }
    CHECK(memcmp(alone[0].labels, alone[1].labels, sizeof alone[0].labels) != 0);
    free(alone);
    free(together);
}

static void *fail_elsewhere(void *unused)
{
    (void)unused;
    REFUSED(promem_session_reset(NULL), PROMEM_NULL_ARGUMENT, "session");
    return NULL;
}

static void a_message_belongs_to_its_thread(void)
{
    REFUSED(promem_model_describe(model, NULL), PROMEM_NULL_ARGUMENT, "promem_model_info");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fail_elsewhere, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(strstr(promem_last_error_message(), "promem_model_info"));
    /* Cleaning up does not lose it. */
    promem_session *session = new_session();
    REFUSED(promem_session_set_axis(session, 9), PROMEM_INVALID_ARGUMENT, "axis 9");
    promem_session_free(session);
    CHECK(strstr(promem_last_error_message(), "axis 9"));
}

static void count_line(int32_t level, const char *target, const char *line, void *user_data)
{
    CHECK(level >= PROMEM_LOG_ERROR && level <= PROMEM_LOG_DEBUG && strstr(target, "promem") && *line);
    ++*(int *)user_data;
}

static void the_log_goes_where_it_is_sent(void)
{
    int lines = 0;
    promem_model *own = NULL;
    OK(promem_set_log_callback(count_line, &lines, PROMEM_LOG_DEBUG));
    OK(promem_model_load(model_path, NULL, &own));
    CHECK(lines > 0);
    OK(promem_set_log_callback(NULL, NULL, PROMEM_LOG_DEBUG));
    int before = lines;
    promem_model_free(own);
    OK(promem_model_load(model_path, NULL, &own));
    CHECK(lines == before);
    promem_model_free(own);
    REFUSED(promem_set_log_callback(count_line, &lines, 9), PROMEM_INVALID_ARGUMENT, "log level 9");
}

/* Resident kilobytes. */
static long resident(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%ld %ld", &all, &pages) == 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Whole lives of models and sessions; the second half takes no more memory than the first. */
static void rounds(int count)
{
    long half = 0;
    promem_propagate_options walk = never_stopping();
    walk.use_range = 1;
    walk.first_slice = 3;
    walk.last_slice = 5;
    walk.beams = 1;
    walk.windows[0] = 1;
    for (int n = 0; n < count; n++) {
        promem_model *own = NULL;
        promem_session *session = NULL;
        promem_volume volume = scan();
        uint16_t plane[PLANE];
        int64_t extent[6] = {0, WIDTH - 1, 0, HEIGHT - 1, 4, 4};
        OK(promem_model_load(model_path, NULL, &own));
        OK(promem_session_new(own, &volume, NULL, &session));
        OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
        OK(promem_session_propagate(session, &walk, NULL, NULL));
        OK(promem_session_read_labels(session, extent, plane, PLANE));
        promem_session_free(session);
        promem_model_free(own);
        if (n == count / 2)
            half = resident();
    }
    long grown = resident() - half;
    printf("%d rounds: %ld kB resident, %ld kB more than at half\n", count, resident(), grown);
    CHECK(grown < 4096);
}

#define TEST(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    TEST(the_library_says_what_it_is),
    TEST(a_model_describes_itself),
    TEST(null_is_refused_everywhere_and_freed_anywhere),
    TEST(structs_may_be_smaller_and_not_larger),
    TEST(wrong_arguments_are_named),
    TEST(prompts_are_listed_and_taken_back),
    TEST(a_given_mask_comes_back_voxel_for_voxel),
    TEST(copied_voxels_may_go_away),
    TEST(a_walk_stops_when_told_and_goes_on),
    TEST(a_job_is_followed_cancelled_and_outlived),
    TEST(a_model_may_go_before_its_sessions),
    TEST(two_threads_find_what_each_finds_alone),
    TEST(a_message_belongs_to_its_thread),
    TEST(the_log_goes_where_it_is_sent),
};

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    model_path = arguments[1];
    prepare();
    if (strcmp(arguments[2], "rounds") == 0) {
        CHECK(count == 4);
        rounds(atoi(arguments[3]));
    } else {
        int ran = 0;
        for (size_t n = 0; n < sizeof tests / sizeof *tests; n++)
            if (strcmp(arguments[2], "all") == 0 || strcmp(arguments[2], tests[n].name) == 0) {
                tests[n].run();
                printf("%s\n", tests[n].name);
                fflush(stdout);
                ran++;
            }
        CHECK(ran > 0);
    }
    promem_model_free(model);
    return 0;
}

/* Wrong arguments: each is refused with a status and a message that names it. Arguments: a model file, the name of one
 * test or "all". */
#include "promem.h"

#include "check.h"
#include "runner.h"
#include "scan.h"

static void null_is_refused_everywhere_and_freed_anywhere(void)
{
    promem_session *session = new_session();
    promem_volume volume = scan();
    promem_job *job = NULL;
    promem_job_state state = {0};
    promem_slice_result result;
    int64_t ijk[3] = {1, 1, 1}, extent[6];
    uint32_t any;
    uint16_t label = 0;
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
        NULLED(promem_session_add_mask(session, 1, 4, NULL, PLANE)), NULLED(promem_session_undo(NULL, 1, &any)),
        NULLED(promem_session_add_scribble(NULL, 1, ijk, 1, 1)), NULLED(promem_session_add_scribble(session, 1, NULL, 1, 1)),
        NULLED(promem_session_add_lasso(NULL, 1, ijk, 1, 1)), NULLED(promem_session_add_lasso(session, 1, NULL, 1, 1)),
        NULLED(promem_session_add_box_3d(NULL, 1, ijk, ijk, 1)), NULLED(promem_session_add_box_3d(session, 1, ijk, NULL, 1)),
        NULLED(promem_session_add_box_3d(session, 1, NULL, ijk, 1)), NULLED(promem_session_set_initial(NULL, &label, 1)),
        NULLED(promem_session_set_initial(session, NULL, VOXELS)),
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

static const struct test tests[] = {
    TEST(null_is_refused_everywhere_and_freed_anywhere),
    TEST(structs_may_be_smaller_and_not_larger),
    TEST(wrong_arguments_are_named),
};

TEST_MAIN(tests)

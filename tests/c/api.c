/* The C interface, used as it is meant. Arguments: a model file, the name of one test or "all"; or "rounds" and their
 * number. */
#define _POSIX_C_SOURCE 200809L
#include "promem.h"

#include "check.h"
#include "runner.h"
#include "scan.h"

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

static const struct test tests[] = {
    TEST(the_library_says_what_it_is),
    TEST(a_model_describes_itself),
    TEST(a_given_mask_comes_back_voxel_for_voxel),
    TEST(copied_voxels_may_go_away),
    TEST(a_walk_stops_when_told_and_goes_on),
    TEST(a_model_may_go_before_its_sessions),
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
    } else
        run_tests(tests, sizeof tests / sizeof *tests, arguments[2]);
    promem_model_free(model);
    return 0;
}

/* Jobs, and several threads at the same time. Arguments: a model file, the name of one test or "all". */
#define _POSIX_C_SOURCE 200809L
#include "promem.h"

#include "check.h"
#include "runner.h"
#include "scan.h"

#include <pthread.h>

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

static const struct test tests[] = {
    TEST(a_job_is_followed_cancelled_and_outlived),
    TEST(two_threads_find_what_each_finds_alone),
    TEST(a_message_belongs_to_its_thread),
};

TEST_MAIN(tests)

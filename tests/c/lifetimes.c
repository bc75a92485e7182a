/* Frees, forks and threads' ends at moments when nobody expects them. Arguments: a model file, "callbacks",
 * "threads" or "forks". */
#define _POSIX_C_SOURCE 200809L
#include "promem.h"

#include "check.h"
#include "scan.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct log_lines {
    int freed, lines;
    promem_status again;
};

static void listen(int32_t level, const char *target, const char *line, void *user_data)
{
    struct log_lines *found = user_data;
    (void)target;
    found->lines++;
    found->freed += level == PROMEM_LOG_ERROR && strstr(line, "promem_session_free in a callback") != NULL;
    found->again = promem_set_log_callback(listen, user_data, PROMEM_LOG_DEBUG);
}

struct freeing {
    promem_session *session;
    int calls;
};

static int32_t free_it(const promem_progress *progress, void *user_data)
{
    struct freeing *freeing = user_data;
    (void)progress;
    if (++freeing->calls == 2)
        promem_session_free(freeing->session);
    return 1;
}

static void a_session_that_is_freed_in_its_callback_goes_when_the_call_ends(void)
{
    struct log_lines found = {0, 0, PROMEM_OK};
    struct freeing freeing = {NULL, 0};
    promem_propagate_options walk = never_stopping();
    promem_session_options options;
    promem_volume volume = scan();
    int16_t *own = malloc(sizeof voxels);
    CHECK(own);
    memcpy(own, voxels, sizeof voxels);
    volume.voxels = own;
    OK(promem_session_options_init(&options, sizeof options));
    OK(promem_set_log_callback(listen, &found, PROMEM_LOG_ERROR));
    OK(promem_session_new(model, &volume, &options, &freeing.session));
    OK(promem_session_add_mask(freeing.session, 1, 4, disk, PLANE));
    REFUSED(promem_session_propagate(freeing.session, &walk, free_it, &freeing), PROMEM_CANCELLED, "cancelled");
    free(own);
    CHECK(freeing.calls == 2 && found.freed == 1);
    /* What a log callback may not do is refused and does not hang. */
    CHECK(found.again == PROMEM_BUSY);
    OK(promem_set_log_callback(NULL, NULL, PROMEM_LOG_ERROR));
}

static pthread_key_t key;
static promem_session *of_thread;

/* Runs when the thread's own memory in the library is gone. */
static void at_thread_end(void *unused)
{
    (void)unused;
    CHECK(promem_session_reset(NULL) == PROMEM_NULL_ARGUMENT);
    CHECK(promem_last_error_message() != NULL);
    CHECK(promem_session_add_mask(of_thread, 1, 4, disk, PLANE) == PROMEM_OK);
    CHECK(promem_session_add_mask(of_thread, 1, 4, disk, 1) == PROMEM_INVALID_ARGUMENT);
    promem_propagate_options walk = never_stopping();
    walk.use_range = 1, walk.first_slice = 3, walk.last_slice = 5;
    promem_job *job = NULL;
    CHECK(promem_session_start_propagate(of_thread, &walk, &job) == PROMEM_OK);
    CHECK(promem_job_wait(job, -1, NULL) == PROMEM_OK);
    promem_job_free(job);
    promem_session_free(of_thread);
    of_thread = NULL;
}

static void *use_and_end(void *unused)
{
    of_thread = new_session();
    REFUSED(promem_session_set_axis(of_thread, 9), PROMEM_INVALID_ARGUMENT, "axis 9");
    CHECK(pthread_setspecific(key, of_thread) == 0);
    return unused;
}

static void the_destructors_of_a_thread_may_call_the_library(void)
{
    pthread_t thread;
    CHECK(pthread_key_create(&key, at_thread_end) == 0);
    CHECK(pthread_create(&thread, NULL, use_and_end, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(of_thread == NULL);
}

/* What a child may do with what is its parent's: nothing, at once. */
static void be_a_child(promem_session *session, promem_job *job)
{
    promem_session *made = NULL;
    promem_model *loaded = NULL;
    promem_job *started = NULL;
    promem_volume volume;
    promem_model_info info;
    promem_job_state state;
    promem_prompt prompt;
    promem_slice_result ready;
    int64_t ijk[6] = {1, 1, 4, 4, 4, 4};
    uint16_t label;
    uint8_t mask;
    double score;
    uint32_t any;
    size_t count;
    const char *text;
    info.struct_size = sizeof info;
    state.struct_size = sizeof state;
    alarm(30); /* a hang ends with a signal */
    OK(promem_volume_init(&volume, sizeof volume));
    volume = scan();
#define FORKED(call) REFUSED(call, PROMEM_FORKED, "forked from process")
    FORKED(promem_model_load(model_path, NULL, &loaded));
    FORKED(promem_model_describe(model, &info));
    FORKED(promem_model_metadata(model, "promem.format", &text));
    FORKED(promem_session_new(model, &volume, NULL, &made));
    FORKED(promem_session_slices(session, NULL, NULL, NULL, NULL));
    FORKED(promem_session_set_axis(session, PROMEM_AXIS_I));
    FORKED(promem_session_set_window(session, 1, 1));
    FORKED(promem_session_set_cache_limit(session, 1));
    FORKED(promem_session_reset(session));
    FORKED(promem_session_add_point(session, 1, ijk, 1));
    FORKED(promem_session_add_box(session, 1, ijk, ijk));
    FORKED(promem_session_add_mask(session, 1, 4, disk, PLANE));
    FORKED(promem_session_add_scribble(session, 1, ijk, 1, 1));
    FORKED(promem_session_add_lasso(session, 1, ijk, 1, 1));
    FORKED(promem_session_add_box_3d(session, 1, ijk, ijk, 1));
    FORKED(promem_session_set_initial(session, &label, 1));
    FORKED(promem_session_undo(session, 1, &any));
    FORKED(promem_session_remove_slice(session, 1, 4));
    FORKED(promem_session_remove_object(session, 1));
    FORKED(promem_session_clear_prompts(session));
    FORKED(promem_session_prompt_count(session, &count));
    FORKED(promem_session_list_prompts(session, &prompt, 1));
    FORKED(promem_session_predict_slice(session, 1, 4, NULL, 0, &score));
    FORKED(promem_session_propagate(session, NULL, NULL, NULL));
    FORKED(promem_session_cancel(session));
    FORKED(promem_session_start_propagate(session, NULL, &started));
    FORKED(promem_session_start_precompute(session, &started));
    FORKED(promem_session_read_labels(session, ijk, &label, 1));
    FORKED(promem_session_read_mask(session, 1, ijk, &mask, 1));
    FORKED(promem_session_read_scores(session, 1, &score, 1));
    FORKED(promem_session_take_changes(session, ijk, &any));
    FORKED(promem_job_poll(job, &state));
    FORKED(promem_job_take_ready(job, &ready, 1, &count));
    FORKED(promem_job_cancel(job));
    FORKED(promem_job_wait(job, -1, &state));
    FORKED(promem_set_thread_count(1));
    FORKED(promem_set_log_callback(NULL, NULL, PROMEM_LOG_ERROR));
    CHECK(!made && !loaded && !started && promem_device_count() == 0 && promem_device_name(0) == NULL);
    CHECK(strcmp(promem_status_name(PROMEM_FORKED), "PROMEM_FORKED") == 0 && promem_thread_count() >= 1);
    CHECK(promem_job_error_message(job) != NULL);
    promem_job_free(job);
    promem_session_free(session);
    promem_model_free(model);
}

static void a_forked_child_is_refused_and_ends(void)
{
    promem_propagate_options walk = never_stopping();
    for (int round = 0; round < 6; round++) {
        promem_session *session = new_session();
        promem_job *job = NULL;
        OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
        OK(promem_session_start_propagate(session, &walk, &job));
        nanosleep(&(struct timespec){0, round * 2000000L}, NULL);
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            be_a_child(session, job);
            if (round % 2)
                _exit(0);
            exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "round %d: the child ended with signal %d, status %d\n", round, WTERMSIG(status), WEXITSTATUS(status));
            exit(1);
        }
        OK(promem_job_wait(job, -1, NULL));
        promem_job_free(job);
        OK(promem_session_propagate(session, NULL, NULL, NULL));
        promem_session_free(session);
    }
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    model_path = arguments[1];
    prepare();
    if (strcmp(arguments[2], "callbacks") == 0)
        a_session_that_is_freed_in_its_callback_goes_when_the_call_ends();
    else if (strcmp(arguments[2], "threads") == 0)
        the_destructors_of_a_thread_may_call_the_library();
    else if (strcmp(arguments[2], "forks") == 0)
        a_forked_child_is_refused_and_ends();
    else
        CHECK(!"a known part");
    promem_model_free(model);
    printf("%s\n", arguments[2]);
    return 0;
}

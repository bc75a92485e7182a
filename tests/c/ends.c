/* Processes that end while something is computed: none may die of a signal. Each is a child that was
 * forked before the library was used.
 * Arguments: a model file, how often the usual ends are tried. */
#define _XOPEN_SOURCE 700
#include "promem.h"

#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void quick_exit(int status); /* of C11 */

enum { WIDTH = 48, HEIGHT = 40, SLICES = 400, STATUS = 7, LONGEST_SECONDS = 60 };

static const char *const ways[] = {"exit", "return", "quick_exit", "_exit", "pthread_exit"};
enum way { EXIT, RETURN, QUICK_EXIT, UNDERSCORE_EXIT, PTHREAD_EXIT };
static const char *const works[] = {"a job", "a propagation in a detached thread", "a callback", "loading in a detached thread", "precomputing"};
enum work { JOB, PROPAGATION, CALLBACK, LOADING, PRECOMPUTING };

static const char *model_path;
static int16_t voxels[SLICES][HEIGHT][WIDTH];
static uint8_t mask[HEIGHT][WIDTH];
static promem_propagate_options walk;
static promem_session *session;
static enum way ending;

static void detached(void *(*body)(void *))
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
    CHECK(pthread_detach(thread) == 0);
}

static void *exit_later(void *unused)
{
    (void)unused;
    struct timespec time = {0, 30000000};
    nanosleep(&time, NULL);
    exit(STATUS);
}

static int end(enum way way)
{
    switch (way) {
    case EXIT: exit(STATUS);
    case QUICK_EXIT: quick_exit(STATUS); break;
    case UNDERSCORE_EXIT: _exit(STATUS);
    case PTHREAD_EXIT: /* libtorch's own threads would keep the process for ever, so another thread must end it */
        detached(exit_later);
        pthread_exit(NULL);
    case RETURN: break;
    }
    return STATUS;
}

static int32_t end_at_the_third(const promem_progress *progress, void *unused)
{
    (void)unused;
    return progress->done < 3 ? 1 : end(ending);
}

static void *propagate(void *unused)
{
    promem_session_propagate(session, &walk, NULL, NULL);
    return unused;
}

static void *load(void *unused)
{
    promem_model *loaded = NULL;
    while (promem_model_load(model_path, NULL, &loaded) == PROMEM_OK)
        promem_model_free(loaded);
    return unused;
}

/* What `main` returns, where the process has not ended before. */
static int child(enum way way, enum work work, long milliseconds)
{
    promem_model *model = NULL;
    promem_job *job = NULL;
    promem_volume volume;
    ending = way;
    for (int n = 0; n < HEIGHT * WIDTH; n++)
        mask[n / WIDTH][n % WIDTH] = n / WIDTH > 10 && n / WIDTH < 30 && n % WIDTH > 10 && n % WIDTH < 30;
    for (int n = 0; n < SLICES * HEIGHT * WIDTH; n++)
        voxels[n / (HEIGHT * WIDTH)][n / WIDTH % HEIGHT][n % WIDTH] = (int16_t)(n % 97 + (mask[n / WIDTH % HEIGHT][n % WIDTH] ? 200 : 0));
    OK(promem_set_thread_count(2));
    OK(promem_model_load(model_path, NULL, &model));
    OK(promem_volume_init(&volume, sizeof volume));
    volume.scalar_type = PROMEM_INT16;
    volume.voxels = voxels;
    volume.dims[0] = WIDTH, volume.dims[1] = HEIGHT, volume.dims[2] = SLICES;
    volume.ijk_to_ras[2][2] = 2;
    OK(promem_session_new(model, &volume, NULL, &session));
    OK(promem_session_add_mask(session, 1, 8, mask[0], sizeof mask));
    OK(promem_propagate_options_init(&walk, sizeof walk));
    walk.never_stop = 1;
    switch (work) {
    case JOB: OK(promem_session_start_propagate(session, &walk, &job)); break;
    case PROPAGATION: detached(propagate); break;
    case CALLBACK: promem_session_propagate(session, &walk, end_at_the_third, NULL); break;
    case LOADING: detached(load); break;
    case PRECOMPUTING: OK(promem_session_start_precompute(session, &job)); break;
    }
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
    return end(way);
}

/* Whether the caller is the child, which must return `status` from main. */
static int tried(enum way way, enum work work, int rounds, int *status)
{
    time_t longest = 0;
    for (int round = 0; round < rounds; round++) {
        time_t begun = time(NULL);
        pid_t made = fork();
        CHECK(made >= 0);
        if (made == 0) {
            alarm(LONGEST_SECONDS); /* a hang ends with a signal */
            *status = child(way, work, round * 7 % 140);
            return 1;
        }
        int found = 0;
        CHECK(waitpid(made, &found, 0) == made);
        if (!WIFEXITED(found) || WEXITSTATUS(found) != STATUS) {
            fprintf(stderr, "%s during %s, round %d: signal %d, status %d, expected status %d\n", ways[way], works[work], round,
                    WIFSIGNALED(found) ? WTERMSIG(found) : 0, WEXITSTATUS(found), STATUS);
            exit(1);
        }
        if (time(NULL) - begun > longest)
            longest = time(NULL) - begun;
    }
    printf("%s during %s: %d times, %ld s at most\n", ways[way], works[work], rounds, (long)longest);
    fflush(stdout);
    return 0;
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    model_path = arguments[1];
    const int often = atoi(arguments[2]), rarely = (often + 4) / 5;
    int status = 0;
    const struct {
        enum way way;
        enum work work;
        int rounds;
    } tries[] = {
        {EXIT, JOB, often}, {EXIT, PROPAGATION, often}, {EXIT, CALLBACK, rarely}, {EXIT, LOADING, rarely}, {EXIT, PRECOMPUTING, rarely},
        {RETURN, JOB, rarely}, {RETURN, PROPAGATION, rarely}, {QUICK_EXIT, JOB, rarely}, {QUICK_EXIT, PROPAGATION, rarely},
        {UNDERSCORE_EXIT, JOB, rarely}, {UNDERSCORE_EXIT, CALLBACK, rarely}, {PTHREAD_EXIT, JOB, rarely}, {PTHREAD_EXIT, PROPAGATION, rarely},
    };
    for (size_t n = 0; n < sizeof tries / sizeof *tries; n++)
        if (tried(tries[n].way, tries[n].work, tries[n].rounds, &status))
            return status;
    return 0;
}

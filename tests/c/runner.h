/* The main function of test programs that have named tests. */
#ifndef RUNNER_H
#define RUNNER_H

#include "check.h"

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(name) {#name, name}

/* Runs the test of that name, or all; prints the name of each that has passed. */
static inline void run_tests(const struct test *tests, size_t count, const char *which)
{
    int ran = 0;
    for (size_t n = 0; n < count; n++)
        if (strcmp(which, "all") == 0 || strcmp(which, tests[n].name) == 0) {
            tests[n].run();
            printf("%s\n", tests[n].name);
            fflush(stdout);
            ran++;
        }
    CHECK(ran > 0);
}

/* main of a program PROGRAM MODEL TEST|all, with `model_path`, `model` and `prepare` from scan.h. */
#define TEST_MAIN(tests)                                                                                               \
    int main(int count, char **arguments)                                                                              \
    {                                                                                                                  \
        CHECK(count == 3);                                                                                             \
        model_path = arguments[1];                                                                                     \
        prepare();                                                                                                     \
        run_tests(tests, sizeof tests / sizeof *tests, arguments[2]);                                                  \
        promem_model_free(model);                                                                                      \
        return 0;                                                                                                      \
    }

#endif

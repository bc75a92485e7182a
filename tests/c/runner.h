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

#endif

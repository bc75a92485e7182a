/* What a test program in C needs: claims that name themselves when they fail. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(claim)                                                                          \
    do {                                                                                      \
        if (!(claim)) {                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);               \
            fprintf(stderr, "  last message: %s\n", promem_last_error_message());             \
            exit(1);                                                                          \
        }                                                                                     \
    } while (0)

#define OK(call) CHECK((call) == PROMEM_OK)

/* The call is refused with this status, and the message has this text. */
#define REFUSED(call, expected, text)                                                         \
    do {                                                                                      \
        promem_status status_ = (call);                                                       \
        if (status_ != (expected) || !strstr(promem_last_error_message(), (text))) {          \
            fprintf(stderr, "%s:%d: %s gives %s, \"%s\"; expected %s with \"%s\"\n", __FILE__, __LINE__, #call, \
                    promem_status_name(status_), promem_last_error_message(), promem_status_name(expected), text); \
            exit(1);                                                                          \
        }                                                                                     \
    } while (0)

#endif

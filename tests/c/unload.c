/* A host that loads the library by name, unloads it while a job runs, and ends. Arguments: a model file, the
 * library. */
#define _POSIX_C_SOURCE 200809L
#include "promem.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define CHECK(claim)                                                                          \
    do {                                                                                      \
        if (!(claim)) {                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);               \
            return 1;                                                                         \
        }                                                                                     \
    } while (0)

/* C has no cast from an object's to a function's address. */
#define FIND(name)                                                                            \
    do {                                                                                      \
        void *address = dlsym(library, "promem_" #name);                                      \
        CHECK(address);                                                                       \
        memcpy(&name, &address, sizeof address);                                              \
    } while (0)

static int16_t voxels[100][40][48];
static uint8_t mask[40][48];

int main(int count, char **arguments)
{
    promem_status (*model_load)(const char *, const promem_model_options *, promem_model **);
    promem_status (*volume_init)(promem_volume *, size_t);
    promem_status (*session_new)(const promem_model *, const promem_volume *, const promem_session_options *, promem_session **);
    promem_status (*session_add_mask)(promem_session *, uint32_t, int64_t, const uint8_t *, size_t);
    promem_status (*session_start_propagate)(promem_session *, const promem_propagate_options *, promem_job **);
    promem_model *model = NULL;
    promem_session *session = NULL;
    promem_job *job = NULL;
    promem_volume volume;
    CHECK(count == 3);
    for (int round = 0; round < 2; round++) {
        void *library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
        if (!library)
            fprintf(stderr, "%s\n", dlerror());
        CHECK(library);
        FIND(model_load);
        FIND(volume_init);
        FIND(session_new);
        FIND(session_add_mask);
        FIND(session_start_propagate);
        for (int j = 12; j < 28; j++)
            memset(&mask[j][12], 1, 20);
        CHECK(model_load(arguments[1], NULL, &model) == PROMEM_OK);
        CHECK(volume_init(&volume, sizeof volume) == PROMEM_OK);
        volume.scalar_type = PROMEM_INT16;
        volume.voxels = voxels;
        volume.dims[0] = 48, volume.dims[1] = 40, volume.dims[2] = 100;
        CHECK(session_new(model, &volume, NULL, &session) == PROMEM_OK);
        CHECK(session_add_mask(session, 1, 4, mask[0], sizeof mask) == PROMEM_OK);
        CHECK(session_start_propagate(session, NULL, &job) == PROMEM_OK);
        CHECK(dlclose(library) == 0);
    }
    printf("unloaded twice\n");
    return 0;
}

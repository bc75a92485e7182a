/* The scan of the test programs: a disk that moves from slice to slice, its mask on slice 4, and the toy model. */
#ifndef SCAN_H
#define SCAN_H

#include "check.h"

#include <math.h>

enum { WIDTH = 40, HEIGHT = 36, SLICES = 9, VOXELS = WIDTH * HEIGHT * SLICES, PLANE = WIDTH * HEIGHT };

static const char *model_path;
static promem_model *model;
static int16_t voxels[VOXELS];
static uint8_t disk[PLANE];

static inline promem_volume scan(void)
{
    promem_volume volume;
    OK(promem_volume_init(&volume, sizeof volume));
    volume.scalar_type = PROMEM_INT16;
    volume.voxels = voxels;
    volume.dims[0] = WIDTH;
    volume.dims[1] = HEIGHT;
    volume.dims[2] = SLICES;
    volume.ijk_to_ras[2][2] = 2.0;
    return volume;
}

static inline promem_session *new_session(void)
{
    promem_volume volume = scan();
    promem_session *session = NULL;
    OK(promem_session_new(model, &volume, NULL, &session));
    return session;
}

/* The toy network's object score says nothing, so walks do not stop by themselves. */
static inline promem_propagate_options never_stopping(void)
{
    promem_propagate_options options;
    OK(promem_propagate_options_init(&options, sizeof options));
    options.never_stop = 1;
    return options;
}

static inline void prepare(void)
{
    for (int n = 0; n < VOXELS; n++) {
        int i = n % WIDTH, j = n / WIDTH % HEIGHT, k = n / PLANE;
        double y = j - 18, x = i - 17 - k;
        voxels[n] = (int16_t)(60 + 10 * sin(x / 5) + 10 * cos(y / 4) + (hypot(x, y) < 8 ? 90 : 0));
        if (k == 4)
            disk[n % PLANE] = hypot(x, y) < 8;
    }
    OK(promem_set_thread_count(1));
    OK(promem_model_load(model_path, NULL, &model));
}

#endif

/*
 * Segments a scan from a mask on one slice and writes the label map, two bytes for each voxel.
 *
 *     segment LABELS.raw                                        a generated ball
 *     segment LABELS.raw SCAN.raw NI NJ NK SLICE MASK.raw       int16 voxels, i fastest; the slice's mask, a byte for each pixel
 *
 * The model is the environment's PROMEM_MODEL, else the default one.
 */
#include "promem.h"

#include <stdio.h>
#include <stdlib.h>

static int32_t progress(const promem_progress *at, void *name) {
    printf("%s: %u of %u\n", (const char *)name, (unsigned)at->done, (unsigned)at->expected);
    return 1; /* go on */
}

/* A bright ball in the middle of 64 x 48 x 9 voxels, and its cut with the middle slice. */
static void ball(int16_t *scan, uint8_t *mask) {
    for (int k = 0; k < 9; k++)
        for (int j = 0; j < 48; j++)
            for (int i = 0; i < 64; i++) {
                int x = i - 32, y = j - 24, z = 3 * (k - 4), inside = x * x + y * y + z * z < 14 * 14;
                scan[(k * 48 + j) * 64 + i] = inside ? 200 : -100;
                if (k == 4) mask[j * 64 + i] = (uint8_t)inside;
            }
}

static int read_file(const char *path, void *to, size_t bytes) {
    FILE *file = fopen(path, "rb");
    int whole = file != NULL && fread(to, 1, bytes, file) == bytes;
    if (file != NULL) fclose(file);
    if (!whole) fprintf(stderr, "cannot read `%s`: expected %lu bytes\n", path, (unsigned long)bytes);
    return whole;
}

static int write_file(const char *path, const void *from, size_t bytes) {
    FILE *file = fopen(path, "wb");
    int whole = file != NULL && fwrite(from, 1, bytes, file) == bytes;
    if (file != NULL && fclose(file) != 0) whole = 0;
    if (!whole) fprintf(stderr, "cannot write `%s`\n", path);
    return whole;
}

/* Whether a call was answered with PROMEM_OK; if not, says why. */
static int ok(promem_status status) {
    if (status != PROMEM_OK) fprintf(stderr, "%s: %s\n", promem_status_name(status), promem_last_error_message());
    return status == PROMEM_OK;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 8) return fprintf(stderr, "usage: segment LABELS.raw [SCAN.raw NI NJ NK SLICE MASK.raw]\n"), 2;
    if (promem_abi_version() != PROMEM_ABI_VERSION) return fprintf(stderr, "libpromem %s does not fit promem.h\n", promem_version()), 1;
    const int given = argc == 8;
    const size_t ni = given ? strtoul(argv[3], NULL, 10) : 64, nj = given ? strtoul(argv[4], NULL, 10) : 48;
    const size_t nk = given ? strtoul(argv[5], NULL, 10) : 9, count = ni * nj * nk;
    const int64_t slice = given ? strtol(argv[6], NULL, 10) : 4;
    int16_t *scan = calloc(count + 1, sizeof *scan);
    uint16_t *labels = calloc(count + 1, sizeof *labels);
    uint8_t *mask = calloc(ni * nj + 1, 1);
    promem_model *model = NULL;
    promem_session *session = NULL;
    promem_volume volume;
    promem_session_options options;
    int done = scan != NULL && labels != NULL && mask != NULL;

    if (done && !given) ball(scan, mask);
    if (done && given) done = read_file(argv[2], scan, count * sizeof *scan) && read_file(argv[7], mask, ni * nj);
    done = done && ok(promem_model_load(NULL, NULL, &model));
    done = done && ok(promem_volume_init(&volume, sizeof volume)) && ok(promem_session_options_init(&options, sizeof options));
    if (done) {
        volume.scalar_type = PROMEM_INT16;
        volume.voxels = scan;
        volume.dims[0] = ni, volume.dims[1] = nj, volume.dims[2] = nk;
        options.axis = PROMEM_AXIS_K;
    }
    done = done && ok(promem_session_new(model, &volume, &options, &session));
    done = done && ok(promem_session_add_mask(session, 1, slice, mask, ni * nj));
    done = done && ok(promem_session_propagate(session, NULL, progress, "slices"));
    done = done && ok(promem_session_read_labels(session, NULL, labels, count));
    done = done && write_file(argv[1], labels, count * sizeof *labels);

    promem_session_free(session); /* before the voxels that it reads */
    promem_model_free(model);
    free(mask);
    free(labels);
    free(scan);
    return done ? 0 : 1;
}

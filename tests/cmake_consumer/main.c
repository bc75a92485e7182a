#include <promem.h>
#include <stdio.h>

static int16_t voxels[9][48][64];
static uint8_t mask[48][64];
static uint16_t labels[9][48][64];

static int ok(promem_status status) {
    if (status != PROMEM_OK) fprintf(stderr, "%s: %s\n", promem_status_name(status), promem_last_error_message());
    return status == PROMEM_OK;
}

int main(void) {
    promem_model *model = NULL;
    promem_session *session = NULL;
    promem_volume volume;
    for (int j = 16; j < 32; j++)
        for (int i = 20; i < 44; i++) {
            mask[j][i] = 1;
            for (int k = 2; k < 7; k++) voxels[k][j][i] = 200;
        }

    int done = ok(promem_volume_init(&volume, sizeof volume));
    volume.scalar_type = PROMEM_INT16;
    volume.voxels = voxels;
    volume.dims[0] = 64, volume.dims[1] = 48, volume.dims[2] = 9;
    volume.ijk_to_ras[2][2] = 3; /* mm between slices */

    done = done && ok(promem_model_load(NULL, NULL, &model));
    done = done && ok(promem_session_new(model, &volume, NULL, &session));
    done = done && ok(promem_session_add_mask(session, 1, 4, mask[0], sizeof mask));
    done = done && ok(promem_session_propagate(session, NULL, NULL, NULL));
    done = done && ok(promem_session_read_labels(session, NULL, labels[0][0], 9 * 48 * 64));
    if (done) printf("libpromem %s: label %d in the middle\n", promem_version(), labels[4][24][32]);

    promem_session_free(session);
    promem_model_free(model);
    return done ? 0 : 1;
}

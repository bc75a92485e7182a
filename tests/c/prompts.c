/* Prompts of every kind: given, listed, undone, and what they do to masks. Arguments: a model file, the name of one test
 * or "all". */
#include "promem.h"

#include "check.h"
#include "runner.h"
#include "scan.h"

static void prompts_are_listed_and_taken_back(void)
{
    promem_session *session = new_session();
    int64_t a[3] = {3, 3, 2}, b[3] = {9, 8, 2};
    uint32_t axis = 0;
    uint64_t count = 0, rows = 0, columns = 0;
    OK(promem_session_slices(session, &axis, &count, &rows, &columns));
    CHECK(axis == PROMEM_AXIS_K && count == SLICES && rows == HEIGHT && columns == WIDTH);
    OK(promem_session_add_point(session, 2, a, 1));
    OK(promem_session_add_point(session, 2, b, 0));
    OK(promem_session_add_box(session, 2, a, b));
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    size_t prompts = 0;
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 2);
    promem_prompt all[2];
    OK(promem_session_list_prompts(session, all, 2));
    CHECK(all[0].object == 1 && all[0].slice == 4 && all[0].has_mask && !all[0].has_box && all[0].points == 0);
    CHECK(all[1].object == 2 && all[1].slice == 2 && !all[1].has_mask && all[1].has_box && all[1].points == 2);
    REFUSED(promem_session_list_prompts(session, all, 1), PROMEM_INVALID_ARGUMENT, "expected 2");
    OK(promem_session_undo(session, 2, NULL)); /* the box */
    OK(promem_session_undo(session, 2, NULL)); /* the second point */
    OK(promem_session_list_prompts(session, all, 2));
    CHECK(all[1].points == 1 && !all[1].has_box && all[1].prompts == 1);
    OK(promem_session_remove_slice(session, 2, 2));
    OK(promem_session_remove_object(session, 1));
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 0);
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    OK(promem_session_set_axis(session, PROMEM_AXIS_I));
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 0);
    OK(promem_session_slices(session, &axis, &count, &rows, &columns));
    CHECK(axis == PROMEM_AXIS_I && count == WIDTH && rows == SLICES && columns == HEIGHT);
    promem_session_free(session);
}

/* The prompts of a session; there are at most 16. */
static size_t listed(const promem_session *session, promem_prompt *prompts)
{
    size_t count = 0;
    OK(promem_session_prompt_count(session, &count));
    CHECK(count <= 16);
    if (count > 0)
        OK(promem_session_list_prompts(session, prompts, count));
    return count;
}

static void every_kind_of_prompt_is_undone_newest_first(void)
{
    promem_session *session = new_session();
    promem_prompt prompts[16];
    int64_t click[3] = {20, 18, 4}, line[6] = {20, 18, 2, 22, 18, 5};
    int64_t corners[12] = {12, 10, 6, 28, 10, 6, 28, 26, 6, 12, 26, 6}, low[3] = {10, 8, 0}, high[3] = {30, 28, 8};
    OK(promem_session_add_point(session, 1, click, 1));
    OK(promem_session_add_scribble(session, 1, line, 2, 1));
    CHECK(listed(session, prompts) == 4); /* slices 2 to 5 */
    CHECK(prompts[2].slice == 4 && prompts[2].points >= 2 && prompts[2].prompts == 2);
    OK(promem_session_add_lasso(session, 1, corners, 4, 1));
    CHECK(listed(session, prompts) == 5 && prompts[4].slice == 6 && prompts[4].regions == 1 && prompts[4].points == 0);
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    CHECK(listed(session, prompts) == 5 && prompts[2].has_mask && prompts[2].points == 0 && prompts[2].prompts == 3);
    OK(promem_session_add_box_3d(session, 1, low, high, 1));
    CHECK(listed(session, prompts) == 5 && prompts[2].has_box && prompts[2].prompts == 4);
    OK(promem_session_add_box_3d(session, 1, low, low, 1)); /* on one slice */
    CHECK(listed(session, prompts) == 6 && prompts[0].slice == 0 && prompts[0].has_box);

    const size_t left[] = {5, 5, 5, 4, 1, 0};
    for (size_t n = 0; n < sizeof left / sizeof *left; n++) {
        uint32_t undone = 0;
        OK(promem_session_undo(session, 1, &undone));
        CHECK(undone == 1 && listed(session, prompts) == left[n]);
    }
    uint32_t undone = 1;
    OK(promem_session_undo(session, 1, &undone));
    CHECK(undone == 0);
    promem_session_free(session);
}

/* What the prompts of object 1 select on slice 4. */
static void preview(promem_session *session, uint8_t *mask)
{
    OK(promem_session_predict_slice(session, 1, 4, mask, PLANE, NULL));
}

static void regions_change_the_mask_to_the_voxel(void)
{
    promem_session *session = new_session();
    uint8_t before[PLANE], after[PLANE];
    /* Columns 0 to 20 of rows 0 to 17, whose borders belong to it. */
    int64_t corners[12] = {0, 0, 4, 20, 0, 4, 20, 17, 4, 0, 17, 4}, low[3] = {0, 0, 3}, high[3] = {20, 17, 5};
    OK(promem_session_add_mask(session, 1, 4, disk, PLANE));
    preview(session, before);
    CHECK(memcmp(before, disk, PLANE) == 0);
    for (int kind = 0; kind < 2; kind++) {
        int taken = 0;
        if (kind == 0)
            OK(promem_session_add_lasso(session, 1, corners, 4, 0));
        else
            OK(promem_session_add_box_3d(session, 1, high, low, 0));
        preview(session, after);
        for (int n = 0; n < PLANE; n++) {
            int inside = n % WIDTH <= 20 && n / WIDTH <= 17;
            CHECK(after[n] == (disk[n] && !inside));
            taken += disk[n] && inside;
        }
        CHECK(taken > 20);
        OK(promem_session_undo(session, 1, NULL));
    }
    /* A region that belongs to the object is added. */
    OK(promem_session_add_lasso(session, 1, corners, 4, 1));
    preview(session, after);
    for (int n = 0; n < PLANE; n++)
        CHECK(after[n] == (disk[n] || (n % WIDTH <= 20 && n / WIDTH <= 17)));
    promem_session_free(session);
}

static void a_box_over_several_slices_bounds_the_propagation(void)
{
    promem_session *session = new_session();
    promem_propagate_options walk = never_stopping();
    int64_t low[3] = {10, 8, 2}, high[3] = {30, 28, 6};
    double scores[SLICES];
    OK(promem_session_add_box_3d(session, 1, low, high, 1));
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    OK(promem_session_read_scores(session, 1, scores, SLICES));
    for (int slice = 0; slice < SLICES; slice++)
        CHECK(isnan(scores[slice]) || (slice >= 2 && slice <= 6));
    CHECK(!isnan(scores[4]));
    promem_session_free(session);
}

static void masks_that_exist_are_the_result_and_are_corrected(void)
{
    promem_session *session = new_session();
    promem_propagate_options walk = never_stopping();
    uint16_t *known = calloc(VOXELS, sizeof *known), *labels = malloc(VOXELS * sizeof *labels);
    for (int n = 0; n < VOXELS; n++)
        known[n] = voxels[n] > 120 ? 7 : 0;
    OK(promem_session_set_initial(session, known, VOXELS));
    OK(promem_session_read_labels(session, NULL, labels, VOXELS));
    CHECK(memcmp(known, labels, VOXELS * sizeof *known) == 0);
    int64_t extent[6];
    uint32_t any = 0;
    OK(promem_session_take_changes(session, extent, &any));
    CHECK(any && extent[4] == 0 && extent[5] == SLICES - 1);

    /* What is taken away from one slice is gone there. */
    int64_t low[3] = {0, 0, 4}, high[3] = {WIDTH - 1, 17, 4};
    OK(promem_session_add_box_3d(session, 7, low, high, 0));
    OK(promem_session_propagate(session, &walk, NULL, NULL));
    OK(promem_session_read_labels(session, NULL, labels, VOXELS));
    for (int n = 0; n < PLANE; n++)
        CHECK(labels[4 * PLANE + n] == (n / WIDTH <= 17 ? 0 : known[4 * PLANE + n]));

    /* Another label map replaces the first, and zeros take it back. */
    OK(promem_session_clear_prompts(session));
    memset(known, 0, VOXELS * sizeof *known);
    OK(promem_session_set_initial(session, known, VOXELS));
    OK(promem_session_read_labels(session, NULL, labels, VOXELS));
    CHECK(memcmp(known, labels, VOXELS * sizeof *known) == 0);
    REFUSED(promem_session_set_initial(session, known, VOXELS - 1), PROMEM_INVALID_ARGUMENT,
            "labels: 12959 values, expected 12960");
    free(known);
    free(labels);
    promem_session_free(session);
}

static void wrong_prompts_are_named(void)
{
    promem_session *session = new_session();
    int64_t inside[9] = {1, 1, 4, 8, 1, 4, 8, 9, 4}, askew[9] = {1, 1, 4, 8, 2, 5, 8, 9, 6}, outside[3] = {WIDTH, 0, 4};
    const promem_status invalid = PROMEM_INVALID_ARGUMENT;
    REFUSED(promem_session_add_scribble(session, 1, inside, 0, 1), invalid, "no voxel given");
    REFUSED(promem_session_add_scribble(session, 1, outside, 1, 1), invalid, "scribble 40,0,4: outside the volume");
    REFUSED(promem_session_add_lasso(session, 1, inside, 2, 1), invalid, "2 corners, expected at least 3");
    REFUSED(promem_session_add_lasso(session, 1, askew, 3, 1), invalid, "expected one plane");
    REFUSED(promem_session_add_box_3d(session, 1, inside, outside, 1), invalid, "box corner 40,0,4");
    REFUSED(promem_session_add_box(session, 1, inside, askew + 3), invalid, "promem_session_add_box_3d");
    /* Nothing can be taken away from nothing. */
    REFUSED(promem_session_add_point(session, 1, inside, 0), invalid, "no mask to take it from");
    REFUSED(promem_session_add_lasso(session, 1, inside, 3, 0), invalid, "no mask to take it from");
    REFUSED(promem_session_add_box_3d(session, 1, inside, askew + 6, 0), invalid, "slice 4 and 2 more");
    size_t prompts = 1;
    OK(promem_session_prompt_count(session, &prompts));
    CHECK(prompts == 0);
    promem_session_free(session);
}

static const struct test tests[] = {
    TEST(prompts_are_listed_and_taken_back),
    TEST(every_kind_of_prompt_is_undone_newest_first),
    TEST(regions_change_the_mask_to_the_voxel),
    TEST(a_box_over_several_slices_bounds_the_propagation),
    TEST(masks_that_exist_are_the_result_and_are_corrected),
    TEST(wrong_prompts_are_named),
};

TEST_MAIN(tests)

/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/limits.h"
#include "base/status.h"
#include "transform/affine.h"
#include "transform/turn.h"

/* The matrices of torchvision's affine() and of Pillow's Image.rotate(), in the order of their
 * operations. Python's math calls the same library's functions; each is called alone here, because
 * a compiler may join a sine and a cosine into one call of another function. */

__attribute__((noinline)) static double sine(double x)
{
    return sin(x);
}

__attribute__((noinline)) static double cosine(double x)
{
    return cos(x);
}

__attribute__((noinline)) static double tangent(double x)
{
    return tan(x);
}

/* math.radians() */
static double radians(double degrees)
{
    return degrees * (M_PI / 180.0);
}

/* The matrix of the rotation and shears; its determinant is 1. */
struct linear {
    double a, b, c, d;
};

static struct linear linear_v1(double rot, double sx, double sy)
{
    return (struct linear){
        .a = cosine(rot - sy) / cosine(sy),
        .b = -cosine(rot - sy) * tangent(sx) / cosine(sy) - sine(rot),
        .c = sine(rot - sy) / cosine(sy),
        .d = -sine(rot - sy) * tangent(sx) / cosine(sy) + cosine(rot),
    };
}

static struct linear linear_v2(double rot, double sx, double sy)
{
    double a = cosine(rot - sy) / cosine(sy), c = sine(rot - sy) / cosine(sy);
    return (struct linear){
        .a = a,
        .b = -(a * tangent(sx) + sine(rot)),
        .c = c,
        .d = cosine(rot) - c * tangent(sx),
    };
}

void pst__affine_matrix(const struct pst__affine *affine, double m[6])
{
    double rot = radians(affine->angle);
    double sx = radians(affine->shear[0]), sy = radians(affine->shear[1]);
    double cx = affine->center[0], cy = affine->center[1];
    double tx = affine->translate[0], ty = affine->translate[1];
    struct linear l = affine->is_v2 ? linear_v2(rot, sx, sy) : linear_v1(rot, sx, sy);
    m[0] = l.d / affine->scale;
    m[1] = -l.b / affine->scale;
    m[3] = -l.c / affine->scale;
    m[4] = l.a / affine->scale;
    if (affine->is_v2) {
        m[2] = cx - m[0] * (cx + tx) - m[1] * (cy + ty);
        m[5] = cy - m[3] * (cx + tx) - m[4] * (cy + ty);
    } else {
        m[2] = m[0] * (-cx - tx) + m[1] * (-cy - ty) + cx;
        m[5] = m[3] * (-cx - tx) + m[4] * (-cy - ty) + cy;
    }
}

/* round(x, 15) of Python for |x| <= 1: to the nearest decimal, ties to even, and from that to the
 * nearest double. x * 10^15 is product + rest exactly; a quotient of integers below 2^53 is rounded
 * once. */
static double round15(double x)
{
    double product = x * 1e15, rest = fma(x, 1e15, -product);
    double whole = rint(product), over = product - whole;
    if (over == 0.5 && rest > 0)
        whole += 1;
    if (over == -0.5 && rest < 0)
        whole -= 1;
    return whole / 1e15;
}

double pst__turn_of(double angle)
{
    double rest = fmod(angle, 360.0);
    return rest < 0 ? rest + 360.0 : rest == 0 ? 0.0 : rest;
}

/* Quarters that Pillow turns by without a matrix, or -1. */
static int quarters_of(double turn, int expand, int32_t w, int32_t h)
{
    if (turn == 0)
        return 0;
    if (turn == 180)
        return 2;
    if ((turn == 90 || turn == 270) && (expand || w == h))
        return turn == 90 ? 1 : 3;
    return -1;
}

static void transform(const double m[6], double x, double y, double *to_x, double *to_y)
{
    double new_x = m[0] * x + m[1] * y + m[2];
    double new_y = m[3] * x + m[4] * y + m[5];
    *to_x = new_x;
    *to_y = new_y;
}

/* The size that holds all corners, and the matrix moved to its middle. */
static int expand_to(struct pst__warp *warp, struct pst_error *err)
{
    double *m = warp->matrix, w = warp->w, h = warp->h;
    const double corner[4][2] = {{0, 0}, {w, 0}, {w, h}, {0, h}};
    double low_x = INFINITY, low_y = INFINITY, high_x = -INFINITY, high_y = -INFINITY;
    for (int i = 0; i < 4; i++) {
        double x, y;
        transform(m, corner[i][0], corner[i][1], &x, &y);
        low_x = fmin(low_x, x);
        high_x = fmax(high_x, x);
        low_y = fmin(low_y, y);
        high_y = fmax(high_y, y);
    }
    double new_w = ceil(high_x) - floor(low_x), new_h = ceil(high_y) - floor(low_y);
    if (!(new_w >= 1 && new_h >= 1 && new_w <= PST_MAX_PLAN_SIDE && new_h <= PST_MAX_PLAN_SIDE))
        return pst__fail(err, PST_ELIMIT, "a rotated image of %g x %g pixels", new_w, new_h);
    transform(m, -(new_w - w) / 2.0, -(new_h - h) / 2.0, &m[2], &m[5]);
    warp->w = (int32_t)new_w;
    warp->h = (int32_t)new_h;
    return PST_OK;
}

int pst__fold_rotate(struct pst__plan *plan, struct pst__warp *warp, double angle, int expand,
                     const double *center, struct pst_error *err)
{
    pst__fold_size(plan, &warp->w, &warp->h);
    double turn = pst__turn_of(angle);
    int quarters = center ? -1 : quarters_of(turn, expand, warp->w, warp->h);
    if (quarters >= 0)
        return pst__fold_quarters(plan, quarters, err);
    double cx = center ? center[0] : warp->w / 2.0, cy = center ? center[1] : warp->h / 2.0;
    double back = -radians(turn), *m = warp->matrix;
    m[0] = round15(cosine(back));
    m[1] = round15(sine(back));
    m[3] = round15(-sine(back));
    m[4] = round15(cosine(back));
    m[2] = m[5] = 0.0;
    transform(m, -cx, -cy, &m[2], &m[5]);
    m[2] += cx;
    m[5] += cy;
    int rc = expand ? expand_to(warp, err) : PST_OK;
    return rc < 0 ? rc : pst__fold_warp(plan, warp, err);
}

int pst__fold_affine(struct pst__plan *plan, struct pst__warp *warp,
                     const struct pst__affine *affine, struct pst_error *err)
{
    pst__fold_size(plan, &warp->w, &warp->h);
    pst__affine_matrix(affine, warp->matrix);
    return pst__fold_warp(plan, warp, err);
}

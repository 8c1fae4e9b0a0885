/* The renderer's inner loops: blendshapes, light, triangles, anti-aliasing.

   Compiled to WebAssembly by tools/renderer_kernel.py: no compiler and no libraries are needed where it runs,
   pictures are the same on every machine, and a hostile model cannot reach beyond its own memory.

   Everything lives in structures that `raster.py` lays out: change both together. */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef uint32_t u4 __attribute__((vector_size(16)));

enum { WEIGHTS = 52, LEVELS = 12 };
/* A triangle of the scene: its part above, its number in it below. */
enum { PART_SHIFT = 24, TRIANGLE = (1 << PART_SHIFT) - 1 };
enum { LIT, BAKED, PAINTED };
enum { OPAQUE, CUT_OUT, BLENDED };
/* The picture is drawn in tiles of so many rows and columns of cells, whose samples fit into a processor's nearest memory. */
enum { BAND = 32, TILE = 64 };
/* A cell of four samples is a pixel; it is two by two pixels, which share light and texture, of a picture three quarters as
   wide and high, which is then enlarged; a pixel again, whose samples keep the number of the triangle instead of its colour. */
enum { SMOOTH, COARSE, PROBE };

/* Power-of-two sizes, wrapping; every level has one more column and row, copies of the first. Red, green and
   blue are square roots of linear light. */
typedef struct {
  uint32_t width_log2, height_log2, levels;
  const uint32_t *level[LEVELS];
} Texture;

typedef struct {
  uint32_t number;            /* of its first triangle among all */
  uint32_t vertices, triangles, lighting, cover, two_sided;
  float wrap[3], cutoff;
  const float *rest;          /* 6 a vertex: position, normal */
  float *shaped;              /* the same with blendshapes */
  const uint32_t *offsets;    /* 53: where each blendshape's moves begin */
  const uint32_t *moved;      /* vertex of each move */
  const float *moves;         /* 6 a move: position, normal */
  const float *tint;          /* 4 a vertex: linear colour, alpha */
  const float *light;         /* 2 a vertex: visibility of the key, strength of highlights */
  const float *follow;        /* 2 a vertex: how far it turns with the head, and breathes with the chest */
  const float *uv;            /* 2 a vertex */
  f4 *screen;                 /* a vertex: x, y in pixels, 1 / distance */
  f4 *shade;                  /* a vertex: diffuse red, green, blue, shine; painted: red, green, blue, alpha */
  const uint32_t *indices;
  const Texture *texture;     /* or null */
} Part;

typedef struct {
  float key_direction[3], fill_direction[3], rim_direction[3];
  float key[3], fill[3], sky[3], ground[3], terminator[3];
  float rim, exposure;
} Rig;

typedef struct { int32_t begin, end; } Span;
/* A triangle and the tiles in which it may be seen. */
typedef struct { uint32_t triangle; uint16_t top, bottom, left, right; } Visible;
/* Four samples: 1 / distance, 0 where nothing is, and beside it, in the same line of the processor's memory, the colour. */
typedef struct { float depth[4]; uint32_t colour[4]; } Cell;
/* Where a triangle is nearer than what is there: the cell's number in the tile, and in the last four bits which samples. */
typedef uint32_t Hit;

typedef struct {
  uint32_t parts, triangles, width, height, stride, coarse_stride; /* in pixels */
  float tone_scale, brightest; /* the last tone's index */
  const Part *part;
  const uint32_t *order;       /* all triangles, the nearest first, those that let light through last */
  Rig rig;
  float camera[3], focal;
  float rotation[9], pivot[3], breath;
  float weights[WEIGHTS];
  const uint8_t *tone;         /* displayed value of `index / tone_scale` of linear light */
  const uint32_t *background;  /* stride * height: 0xAABBGGRR */
  const uint32_t *coarse_background;
  uint32_t *coarse;            /* the picture that is enlarged */
  Cell *cells;                 /* a tile */
  Hit *hits;                   /* a tile: one a cell */
  Visible *visible;            /* one a triangle */
  uint32_t *sorted, *ends;     /* a triangle and band: its number in `visible`; a band: where its triangles end */
  uint32_t *chosen, *limits;   /* a triangle and tile of a band: part and triangle; a tile: where its triangles end */
  Span *now, *before;          /* a tile: the columns drawn on in this frame, and those in the last */
  int *last;                   /* the last frame's mode */
  uint8_t *out;                /* width * height * 3; probing: a triangle, all parts' in turn: 1 where seen */
} Scene;

extern uint8_t __heap_base;
EXPORT("heap") uint32_t heap(void) { return (uint32_t)(uintptr_t)&__heap_base; }

/* Of a and b; the second when the first is no number. Lane by lane, as a choice between scalars is a jump. */
INLINE f4 greater(f4 a, f4 b) { return (f4)wasm_f32x4_pmax((v128_t)b, (v128_t)a); }
INLINE f4 smaller(f4 a, f4 b) { return (f4)wasm_f32x4_pmin((v128_t)b, (v128_t)a); }
INLINE f4 all(float value) { return (f4)wasm_f32x4_splat(value); }
/* exp(-x) for x >= 0, to 0.2 % of 1 */
INLINE f4 fading(f4 x) {
  f4 f = greater(1 - x / 256, all(0));
  for (int i = 0; i < 8; i++) f *= f;
  return f;
}
INLINE f4 load(const f4 *at) { return (f4)wasm_v128_load(at); }
/* Whole numbers from floats below 2^21 in size, rounded: adding this leaves them in the lowest bits. */
static const float WHOLE = 12582912.f;
INLINE i4 whole(f4 x) { return (i4)(x + WHOLE) - (i4)wasm_f32x4_const_splat(WHOLE); }

INLINE int coarse(int mode) { return mode == COARSE; }

/* -- vertices ---------------------------------------------------------------------------------------- */

static void shape(const Part *part, const float *weights) {
  if (!part->offsets) return;
  __builtin_memcpy(part->shaped, part->rest, part->vertices * 6 * sizeof(float));
  for (int k = 0; k < WEIGHTS; k++) {
    float weight = weights[k];
    if (weight == 0) continue;
    for (uint32_t i = part->offsets[k]; i < part->offsets[k + 1]; i++) {
      float *to = part->shaped + part->moved[i] * 6;
      const float *move = part->moves + i * 6;
      for (int c = 0; c < 6; c++) to[c] += weight * move[c];
    }
  }
}

/* A vector of each of four vertices. */
typedef struct { f4 x, y, z; } Four;

INLINE Four same(const float *v) { return (Four){all(v[0]), all(v[1]), all(v[2])}; }
INLINE f4 dot(Four a, Four b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
INLINE Four sum(Four a, Four b) { return (Four){a.x + b.x, a.y + b.y, a.z + b.z}; }
INLINE Four less(Four a, Four b) { return (Four){a.x - b.x, a.y - b.y, a.z - b.z}; }
INLINE Four unit(Four v) {
  f4 scale = 1 / (f4)wasm_f32x4_sqrt((v128_t)(dot(v, v) + 1e-12f));
  return (Four){v.x * scale, v.y * scale, v.z * scale};
}

/* Rows become columns. */
INLINE void transpose(f4 *m) {
  const v128_t first = (v128_t)m[0], second = (v128_t)m[1], third = (v128_t)m[2], fourth = (v128_t)m[3];
  v128_t a = wasm_i32x4_shuffle(first, second, 0, 4, 1, 5), b = wasm_i32x4_shuffle(third, fourth, 0, 4, 1, 5);
  v128_t c = wasm_i32x4_shuffle(first, second, 2, 6, 3, 7), d = wasm_i32x4_shuffle(third, fourth, 2, 6, 3, 7);
  m[0] = (f4)wasm_i64x2_shuffle(a, b, 0, 2), m[1] = (f4)wasm_i64x2_shuffle(a, b, 1, 3);
  m[2] = (f4)wasm_i64x2_shuffle(c, d, 0, 2), m[3] = (f4)wasm_i64x2_shuffle(c, d, 1, 3);
}

/* The first four of what four vertices have in an array of `width` floats each. */
INLINE void gather(const float *array, int width, const uint32_t *vertices, f4 *found) {
  for (int k = 0; k < 4; k++) found[k] = load((const f4 *)(array + width * vertices[k]));
  transpose(found);
}

INLINE void scatter(f4 *array, const uint32_t *vertices, f4 *values) {
  transpose(values);
  for (int k = 0; k < 4; k++) wasm_v128_store(array + vertices[k], (v128_t)values[k]);
}

INLINE Four turned(const Scene *s, Four v, f4 share) {
  const float *r = s->rotation;
  return (Four){v.x + ((r[0] - 1) * v.x + r[1] * v.y + r[2] * v.z) * share,
                v.y + (r[3] * v.x + (r[4] - 1) * v.y + r[5] * v.z) * share,
                v.z + (r[6] * v.x + r[7] * v.y + (r[8] - 1) * v.z) * share};
}

/* Key with wrapped, reddened terminator, fill, sky and ground, two highlights, and a rim. */
INLINE void light(const Scene *s, const Part *part, const uint32_t *vertices, Four n, Four view) {
  static const float REDDENED[3] = {.35f, .06f, 0};
  const Rig *rig = &s->rig;
  const Four key = same(rig->key_direction), fill = same(rig->fill_direction);
  const f4 none = all(0);
  f4 surface[4], tint[4], shade[4];
  gather(part->light, 2, vertices, surface);
  gather(part->tint, 4, vertices, tint);
  f4 visible = surface[0], specular = surface[1];
  n = unit(n), view = unit(view);
  f4 a = greater(dot(n, unit(sum(key, view))), none), b = greater(dot(n, unit(sum(fill, view))), none);
  f4 k = dot(n, key), up = n.y * .5f + .5f, edge = (k - .02f) / .30f;
  f4 f = greater((dot(n, fill) + .5f) / 1.5f, none), terminator = fading(edge * edge) * visible;
  for (int c = 0; c < 3; c++) {
    f4 wrapped = greater((k + part->wrap[c]) / (1 + part->wrap[c]), none);
    wrapped *= visible * (1 + (1 - visible) * REDDENED[c]);
    shade[c] = (rig->key[c] * wrapped + rig->fill[c] * f + rig->sky[c] * up + rig->ground[c] * (1 - up) +
                rig->terminator[c] * terminator) * tint[c] * rig->exposure;
  }
  f4 a4 = a * a * a * a, a12 = a4 * a4 * a4, a48 = a12 * a12 * a12 * a12;
  f4 b4 = b * b * b * b, b16 = b4 * b4 * b4 * b4;
  f4 rim = 1 - greater(dot(n, view), none);
  rim = rim * rim * rim * greater(dot(n, same(rig->rim_direction)) + .25f, none);
  shade[3] = specular * ((.55f * a12 + .60f * a48) * visible * 1.6f + .14f * b16) + rim * rig->rim * .5f * visible;
  shade[3] *= rig->exposure;
  scatter(part->shade, vertices, shade);
}

/* Where vertices are seen, and their light, four at a time. The head turns as one, the neck follows less and less down to the
   collar; the chest breathes. */
static void place(const Scene *s, const Part *part, int mode) {
  const Four camera = same(s->camera), pivot = same(s->pivot);
  const float scale = coarse(mode) ? .375f : 1, shift = coarse(mode) ? .0625f : 0, focal = s->focal * scale;
  const float *rest = part->offsets ? part->shaped : part->rest;
  for (uint32_t i = 0; i < part->vertices; i += 4) {
    f4 first[4], second[4], follow[4];
    uint32_t vertices[4]; /* at the end some are the last one again */
    for (uint32_t k = 0; k < 4; k++) vertices[k] = i + k < part->vertices ? i + k : part->vertices - 1;
    gather(rest, 6, vertices, first);
    gather(rest + 4, 6, vertices, second);
    gather(part->follow, 2, vertices, follow);
    f4 share = follow[0], chest = follow[1] * s->breath;
    Four p = {first[0], first[1], first[2]}, breath = {p.x * .008f * chest, all(.0014f * s->breath), .0022f * chest};
    p = sum(sum(turned(s, less(p, pivot), share), pivot), breath);
    Four view = less(camera, p);
    f4 nearness = 1 / view.z;
    f4 screen[4] = {s->width * .5f * scale + shift - view.x * focal * nearness,
                    s->height * .5f * scale + shift + view.y * focal * nearness, nearness, all(0)};
    scatter(part->screen, vertices, screen);
    if (part->lighting == LIT) light(s, part, vertices, turned(s, (Four){first[3], second[0], second[1]}, share), view);
  }
}

/* -- pixels ------------------------------------------------------------------------------------------ */

/* Where in a cell the four samples lie, and the middle of every set of them in 96ths of a cell; of SMOOTH and COARSE. */
static const float SAMPLE_X[2][4] = {{.375f, .875f, .125f, .625f}, {.25f, .75f, .25f, .75f}};
static const float SAMPLE_Y[2][4] = {{.125f, .375f, .625f, .875f}, {.25f, .25f, .75f, .75f}};
static uint8_t MIDDLE_X[2][16], MIDDLE_Y[2][16];
/* Of the first of them along a row or column; the last lies as far from the other side. */
INLINE float inset(int mode) { return coarse(mode) ? .25f : .125f; }

EXPORT("start") void start(void) {
  for (int i = 0; i < 2; i++) {
    for (int mask = 1; mask < 16; mask++) {
      float x = 0, y = 0;
      int count = 0;
      for (int k = 0; k < 4; k++)
        if (mask >> k & 1) x += SAMPLE_X[i][k], y += SAMPLE_Y[i][k], count++;
      MIDDLE_X[i][mask] = (uint8_t)(96 * x / count + .5f);
      MIDDLE_Y[i][mask] = (uint8_t)(96 * y / count + .5f);
    }
  }
}

/* A part of the picture, to before `right` and `bottom`. */
typedef struct { int number, left, top, right, bottom; } Tile;

/* A texel's 255, twice in 128ths. */
static const float FULL = 255 * 128 * 128;

/* What a triangle carries, as planes over the picture. */
typedef struct {
  f4 shade, shade_x, shade_y;
  float a_x, a_y, b_x, b_y;               /* the first two corners' weights */
  float x, y, z, z_x, z_y, alpha;         /* the planes begin at the third corner */
  float u, u_x, u_y, v, v_x, v_y;         /* in 128ths of `texels`' texels */
  const uint32_t *texels;
  uint32_t u_mask, v_mask;
} Surface;

#define SPREAD(v, k) wasm_i32x4_shuffle((v128_t)v, (v128_t)v, k, k, k, k)

/* Sixteen small numbers, looked up by the lanes of `index`. */
INLINE i4 chosen(const uint8_t *table, i4 index) {
  return (i4)wasm_i8x16_swizzle(wasm_v128_load(table), (v128_t)(index | (int)0xFFFFFF00));
}

/* The texels around one place, mixed: 128ths of a row down, 128 less those of a column, and those. With `change`: how much
   more alpha is to the right and below. */
INLINE v128_t mixed(const uint32_t *above, uint32_t stride, v128_t down, v128_t across, v128_t *change) {
  v128_t upper = wasm_u16x8_load8x8(above), falls = wasm_i16x8_sub(wasm_u16x8_load8x8(above + stride), upper);
  v128_t both = wasm_i16x8_add(wasm_i16x8_shl(upper, 7), wasm_i16x8_mul(falls, down));
  both = wasm_i16x8_shuffle(both, both, 0, 4, 1, 5, 2, 6, 3, 7);
  if (change) {
    v128_t right = wasm_i32x4_dot_i16x8(both, wasm_i32x4_const_splat(0x1FFFF));
    falls = wasm_i16x8_shuffle(falls, falls, 0, 4, 1, 5, 2, 6, 3, 7);
    *change = wasm_i32x4_shuffle(right, wasm_i32x4_dot_i16x8(falls, across), 3, 7, 3, 7);
  }
  return wasm_i32x4_dot_i16x8(both, across);
}

/* Four texels, bilinear: colours as square roots of light, and alpha, all in 0..FULL; and how fast alpha changes there. */
INLINE void sample(const Surface *t, f4 u, f4 v, f4 *texel, f4 *change) {
  i4 at_u = (i4)(u + WHOLE), at_v = (i4)(v + WHOLE); /* the constant's own bits are above those that are used */
  const uint32_t stride = t->u_mask + 2;
  u4 index = ((u4)at_v >> 7 & t->v_mask) * stride + ((u4)at_u >> 7 & t->u_mask);
  i4 right = at_u & 127, below = at_v & 127, across = (right << 16) + 128 - right, down = below << 16 | below;
  v128_t found[4], changes[4];
  found[0] = mixed(t->texels + index[0], stride, SPREAD(down, 0), SPREAD(across, 0), change ? changes : 0);
  found[1] = mixed(t->texels + index[1], stride, SPREAD(down, 1), SPREAD(across, 1), change ? changes + 1 : 0);
  found[2] = mixed(t->texels + index[2], stride, SPREAD(down, 2), SPREAD(across, 2), change ? changes + 2 : 0);
  found[3] = mixed(t->texels + index[3], stride, SPREAD(down, 3), SPREAD(across, 3), change ? changes + 3 : 0);
  transpose((f4 *)found);
  for (int c = 0; c < 4; c++) texel[c] = (f4)wasm_f32x4_convert_i32x4(found[c]);
  if (!change) return;
  v128_t first = wasm_i32x4_shuffle(changes[0], changes[1], 0, 4, 1, 5);
  v128_t second = wasm_i32x4_shuffle(changes[2], changes[3], 0, 4, 1, 5);
  f4 over_u = (f4)wasm_f32x4_convert_i32x4(wasm_i64x2_shuffle(first, second, 0, 2));
  f4 over_v = (f4)wasm_f32x4_convert_i32x4(wasm_i64x2_shuffle(first, second, 1, 3));
  *change = (f4)wasm_f32x4_abs((v128_t)(t->u_x * over_u + t->v_x * over_v)) +
            (f4)wasm_f32x4_abs((v128_t)(t->u_y * over_u + t->v_y * over_v));
}

/* The samples of `mask` that a hair's edge of this alpha covers. */
INLINE i4 covered(float cutoff, i4 mask, f4 alpha, f4 change) {
  static const uint8_t SOME[16] = {0, 1 << 1, 1 << 1 | 1 << 2, 1 << 0 | 1 << 1 | 1 << 3, 15};
  f4 sharp = smaller(greater((alpha - cutoff) * 2.4f / greater(change, all(.01f / 255 * FULL)) + 2, all(0)), all(4));
  sharp = greater(sharp, (f4)((alpha > .996f * FULL) & (i4)all(4)));
  return mask & chosen(SOME, whole(sharp)) & (alpha >= .12f * FULL);
}

INLINE uint32_t blend(uint32_t under, uint32_t over, float alpha) {
  uint32_t result = 0xFF000000;
  for (int c = 0; c < 24; c += 8) {
    float mixed = (float)(under >> c & 255) * (1 - alpha) + (float)(over >> c & 255) * alpha;
    result |= (uint32_t)(mixed + .5f) << c;
  }
  return result;
}

INLINE v128_t lanes(int mask) {
  static const u4 BITS = {1, 2, 4, 8};
  return (v128_t)(((u4){mask, mask, mask, mask} & BITS) != 0);
}

INLINE void put_where(void *at, v128_t value, v128_t chosen) {
  wasm_v128_store(at, wasm_v128_bitselect(value, wasm_v128_load(at), chosen));
}

INLINE int column_of(Hit hit) { return hit >> 4 & (TILE - 1); }
INLINE int row_of(Hit hit) { return hit / (16 * TILE); }

/* One hit of this colour. */
INLINE void put(const Scene *s, const Surface *t, Hit hit, int mask, uint32_t colour, float alpha, Tile tile, int cover,
                int mode) {
  Cell *cell = s->cells + (hit >> 4);
  const int x = tile.left + column_of(hit), y = tile.top + row_of(hit);
  float *depth = cell->depth;
  uint32_t *there = cell->colour;
  if (cover == BLENDED) {
    for (int k = 0; k < 4; k++) {
      if (!(mask >> k & 1)) continue;
      if (depth[k] == 0) { /* the first thing here, so what is under it is the background */
        depth[k] = 1e-6f;
        there[k] = coarse(mode) ? s->coarse_background[(2 * y + (k >> 1)) * s->coarse_stride + 2 * x + (k & 1)]
                                : s->background[y * s->stride + x];
      }
      there[k] = blend(there[k], colour, alpha);
    }
    return;
  }
  put_where(there, wasm_u32x4_splat(colour), lanes(mask));
  if (cover == CUT_OUT) {
    f4 dx = (float)x - t->x + load((f4 *)SAMPLE_X[coarse(mode)]);
    f4 dy = (float)y - t->y + load((f4 *)SAMPLE_Y[coarse(mode)]);
    put_where(depth, (v128_t)(t->z + dx * t->z_x + dy * t->z_y), lanes(mask));
  }
}

/* Colours what was hit, four at a time; `cover` and `mode` are constants. */
INLINE void shade(const Scene *s, const Part *part, const Surface *surface, uint32_t count, Tile tile, uint32_t number,
                  int cover, int mode) {
  const int painted = part->lighting == PAINTED;
  const Surface t = *surface;
  const float cutoff = part->cutoff * FULL;
  const float upper = t.y - tile.top, left = t.x - tile.left;
  const Hit *hits = s->hits;
  const uint8_t *tone = s->tone;
  for (uint32_t i = 0; i < count; i += 4) {
    u4 hit = (u4)wasm_v128_load(hits + i);
    i4 mask = (i4)(hit & 15);
    f4 dx = (f4)wasm_f32x4_convert_i32x4((v128_t)(hit >> 4 & (TILE - 1))) - left;
    f4 dy = (f4)wasm_f32x4_convert_i32x4((v128_t)(hit / (16 * TILE))) - upper;
    dx += (f4)wasm_f32x4_convert_i32x4((v128_t)chosen(MIDDLE_X[coarse(mode)], mask)) * (1 / 96.f);
    dy += (f4)wasm_f32x4_convert_i32x4((v128_t)chosen(MIDDLE_Y[coarse(mode)], mask)) * (1 / 96.f);
    f4 light[4], texel[4] = {all(FULL), all(FULL), all(FULL), all(FULL)}, change = all(1);
    for (int c = 0; c < 4; c++) light[c] = t.shade[c] + t.shade_x[c] * dx + t.shade_y[c] * dy;
    if (t.texels) {
      f4 u = t.u + t.u_x * dx + t.u_y * dy, v = t.v + t.v_x * dx + t.v_y * dy;
      sample(&t, u, v, texel, cover == CUT_OUT ? &change : 0);
      if (cover == CUT_OUT) {
        mask = covered(cutoff, mask, texel[3], change);
        if (!wasm_v128_any_true((v128_t)mask)) continue;
      }
    }
    f4 alpha = all(1);
    if (cover == BLENDED) alpha = smaller(greater(texel[3] * (t.alpha / FULL) * (painted ? light[3] : 1), all(0)), all(1));
    u4 step[3];
    for (int c = 0; c < 3; c++) {
      f4 shown = cover == BLENDED && painted ? light[c] : texel[c] * texel[c] * light[c] + light[3];
      step[c] = (u4)whole(smaller(greater(shown, all(0)), all(cover == BLENDED && painted ? 255 : s->brightest)));
    }
    for (uint32_t k = 0; k < 4; k++) {
      if (k && i + k >= count) break;
      uint32_t colour = 0xFF000000;
      if (mode == PROBE) colour = number;
      else if (cover == BLENDED && painted) colour |= step[0][k] | step[1][k] << 8 | step[2][k] << 16;
      else colour |= tone[step[0][k]] | tone[step[1][k]] << 8 | tone[step[2][k]] << 16;
      put(s, &t, hit[k], mask[k], colour, alpha[k], tile, cover, mode);
    }
  }
}

/* Functions of their own: their loops then have all the processor's registers. */
static NOINLINE void shade_opaque(const Scene *s, const Part *part, const Surface *t, uint32_t count, Tile tile, uint32_t number,
                                  int mode) {
  if (mode == SMOOTH) shade(s, part, t, count, tile, number, OPAQUE, SMOOTH);
  else if (mode == COARSE) shade(s, part, t, count, tile, number, OPAQUE, COARSE);
  else shade(s, part, t, count, tile, number, OPAQUE, PROBE);
}

static NOINLINE void shade_cut_out(const Scene *s, const Part *part, const Surface *t, uint32_t count, Tile tile, uint32_t number,
                                   int mode) {
  if (mode == SMOOTH) shade(s, part, t, count, tile, number, CUT_OUT, SMOOTH);
  else if (mode == COARSE) shade(s, part, t, count, tile, number, CUT_OUT, COARSE);
  else shade(s, part, t, count, tile, number, CUT_OUT, PROBE);
}

static NOINLINE void shade_blended(const Scene *s, const Part *part, const Surface *t, uint32_t count, Tile tile, uint32_t number,
                                   int mode) {
  if (mode == SMOOTH) shade(s, part, t, count, tile, number, BLENDED, SMOOTH);
  else if (mode == COARSE) shade(s, part, t, count, tile, number, BLENDED, COARSE);
}

static void carry(const Scene *s, const Part *part, Surface *t, uint32_t a, uint32_t b, uint32_t c, int mode) {
  f4 from_a = part->shade[a] - part->shade[c], from_b = part->shade[b] - part->shade[c];
  float light = s->tone_scale / (FULL * FULL); /* times the square of a texel, which is a root: an index of tones */
  f4 unit = part->lighting == PAINTED ? (f4){255, 255, 255, 1} : (f4){light, light, light, s->tone_scale};
  from_a *= unit, from_b *= unit;
  t->shade = part->shade[c] * unit;
  t->shade_x = from_a * t->a_x + from_b * t->b_x;
  t->shade_y = from_a * t->a_y + from_b * t->b_y;
  t->alpha = part->tint ? part->tint[4 * c + 3] : 1;
  t->texels = 0;
  const Texture *texture = part->texture;
  if (!texture) return;
  const float *ua = part->uv + 2 * a, *ub = part->uv + 2 * b, *uc = part->uv + 2 * c;
  f4 size = {1u << texture->width_log2, 1u << texture->height_log2, 0, 0}, at = {uc[0], uc[1], 0, 0};
  f4 side_a = ((f4){ua[0], ua[1], 0, 0} - at) * size, side_b = ((f4){ub[0], ub[1], 0, 0} - at) * size;
  f4 along_x = side_a * t->a_x + side_b * t->b_x, along_y = side_a * t->a_y + side_b * t->b_y;
  /* The level at which one texel is about one cell: its exponent is half of that of the texels a cell covers. A finer one
     where cells are coarse. */
  union { float value; int32_t bits; } texels = {__builtin_fabsf(along_x[0] * along_y[1] - along_x[1] * along_y[0])};
  int level = ((texels.bits >> 23) - 127 + !coarse(mode)) >> 1, last = texture->levels - 1;
  level = level < 0 ? 0 : level > last ? last : level;
  union { int32_t bits; float value; } scale = {(127 + 7 - level) << 23};
  at = (at - (f4)wasm_f32x4_floor((v128_t)at)) * size * scale.value - 64;
  along_x *= scale.value, along_y *= scale.value;
  t->u = at[0], t->u_x = along_x[0], t->u_y = along_y[0];
  t->v = at[1], t->v_x = along_x[1], t->v_y = along_y[1];
  t->texels = texture->level[level];
  t->u_mask = (1u << ((int)texture->width_log2 > level ? (int)texture->width_log2 - level : 0)) - 1;
  t->v_mask = (1u << ((int)texture->height_log2 > level ? (int)texture->height_log2 - level : 0)) - 1;
}

/* Cells up to which every one of a triangle's bounding box is tested. */
enum { NARROW = 8 };

/* The corners' weights and the nearness of a cell's samples. */
typedef struct { f4 a, b, c, z; } Samples;

INLINE Samples further(Samples from, Samples step) {
  return (Samples){from.a + step.a, from.b + step.b, from.c + step.c, from.z + step.z};
}

/* Tests the cells of a row from `x` to `last`; returns the end of the hits. `row`: the number of the cell at x = 0. Weights
   are tested by their signs, and what is beside the triangle counts as infinitely far. */
INLINE Hit *test(Hit *hit, const Scene *s, int row, int x, int last, Samples at, Samples step, int opaque) {
  Hit here = (row + x) * 16;
  for (Cell *cell = s->cells + row + x; x <= last; x++, cell++, here += 16, at = further(at, step)) {
    f4 there = (f4)wasm_v128_load(cell->depth);
    f4 z = (f4)((i4)at.z & ~(((i4)at.a | (i4)at.b | (i4)at.c) >> 31));
    if (opaque) wasm_v128_store(cell->depth, (v128_t)greater(z, there));
    int mask = wasm_i32x4_bitmask((v128_t)(z > there));
    *hit = here | mask;
    hit += mask != 0;
  }
  return hit;
}

/* Where a triangle is the nearest of the cells between two corners; returns the end of the hits. */
INLINE Hit *cover(const Scene *s, const Surface *t, i4 low_corner, i4 high_corner, Tile tile, int mode, int opaque) {
  const int first_row = low_corner[1], last_row = high_corner[1], first = low_corner[0], last = high_corner[0];
  const Samples across = {all(t->a_x), all(t->b_x), all(-t->a_x - t->b_x), all(t->z_x)};
  const Samples down = {all(t->a_y), all(t->b_y), all(-t->a_y - t->b_y), all(t->z_y)};
  f4 dx = load((f4 *)SAMPLE_X[coarse(mode)]) - t->x;
  f4 dy = load((f4 *)SAMPLE_Y[coarse(mode)]) + ((float)first_row - t->y);
  Samples row = {dx * across.a + dy * down.a, dx * across.b + dy * down.b, all(0), t->z + dx * across.z + dy * down.z};
  row.c = 1 - row.a - row.b;
  int number = (first_row - tile.top) * TILE - tile.left;
  Hit *hit = s->hits;
  if (last - first < NARROW) {
    float x = first;
    row = further(row, (Samples){x * across.a, x * across.b, x * across.c, x * across.z});
    for (int y = first_row; y <= last_row; y++, number += TILE, row = further(row, down))
      hit = test(hit, s, number, first, last, row, across, opaque);
    return hit;
  }
  /* The corners' weights at x = 0 of the first row, where they are greatest within a cell: a row begins where the
     rising ones become positive and ends where the falling ones cease to be. The fourth keeps to the picture. */
  const float low = inset(mode), high = 1 - low;
  f4 slope = {t->a_x, t->b_x, -t->a_x - t->b_x, 1}, fall = {t->a_y, t->b_y, -t->a_y - t->b_y, 0};
  f4 from_y = (float)first_row - (f4){t->y, t->y, t->y, 0};
  f4 reach = greater(slope * low, slope * high) + greater(fall * low, fall * high) + 1e-5f;
  f4 value = reach - t->x * slope + from_y * fall + (f4){0, 0, 1, 0};
  f4 crossing = 1 / slope;
  const f4 begins = {-1e9f, -1e9f, -1e9f, first}, ends = {-1e9f, -1e9f, -1e9f, -last};
  const v128_t rising = wasm_v128_and((v128_t)(slope > 0), wasm_i32x4_const(-1, -1, -1, 0));
  const v128_t falling = (v128_t)(slope < 0);
  f4 at = -value * crossing;
  for (int y = first_row; y <= last_row; y++, number += TILE, row = further(row, down), at -= fall * crossing) {
    v128_t begin = wasm_v128_bitselect((v128_t)at, (v128_t)begins, rising);
    v128_t end = wasm_v128_bitselect((v128_t)-at, (v128_t)ends, falling);
    f4 both = greater((f4)wasm_i32x4_shuffle(begin, end, 0, 1, 4, 5), (f4)wasm_i32x4_shuffle(begin, end, 2, 3, 6, 7));
    both = greater(both, (f4)wasm_i32x4_shuffle((v128_t)both, (v128_t)both, 1, 0, 3, 2));
    both = smaller(both + .45f, all(8192)) + WHOLE;
    i4 edges = (i4)both - (i4)all(WHOLE);
    f4 x = (f4)wasm_i32x4_shuffle((v128_t)both, (v128_t)both, 0, 0, 0, 0) - WHOLE;
    Samples from = further(row, (Samples){x * across.a, x * across.b, x * across.c, x * across.z});
    hit = test(hit, s, number, edges[0], -edges[2], from, across, opaque);
  }
  return hit;
}

static NOINLINE Hit *cover_opaque(const Scene *s, const Surface *t, i4 low, i4 high, Tile tile, int mode) {
  return cover(s, t, low, high, tile, mode, 1);
}

static NOINLINE Hit *cover_through(const Scene *s, const Surface *t, i4 low, i4 high, Tile tile, int mode) {
  return cover(s, t, low, high, tile, mode, 0);
}

/* A triangle within a tile, and the first and the last of the cells between which it lies. */
typedef struct {
  Surface surface;
  i4 low, high;
  const Part *part;
  uint32_t number;            /* in its part */
} Triangle;

INLINE void prepare(const Scene *s, uint32_t which, Tile tile, Triangle *triangle, int mode) {
  const Part *part = s->part + (which >> PART_SHIFT);
  triangle->part = part, triangle->number = which & TRIANGLE;
  const uint32_t *corner = part->indices + 3 * triangle->number;
  f4 pa = load(part->screen + corner[0]), pb = load(part->screen + corner[1]), pc = load(part->screen + corner[2]);
  float inverse = 1 / ((pb[0] - pa[0]) * (pc[1] - pa[1]) - (pb[1] - pa[1]) * (pc[0] - pa[0]));
  Surface *t = &triangle->surface;
  t->x = pc[0], t->y = pc[1], t->z = pc[2];
  t->a_x = (pb[1] - pc[1]) * inverse, t->a_y = (pc[0] - pb[0]) * inverse;
  t->b_x = (pc[1] - pa[1]) * inverse, t->b_y = (pa[0] - pc[0]) * inverse;
  t->z_x = (pa[2] - pc[2]) * t->a_x + (pb[2] - pc[2]) * t->b_x;
  t->z_y = (pa[2] - pc[2]) * t->a_y + (pb[2] - pc[2]) * t->b_y;
  f4 least = smaller(pa, smaller(pb, pc)) + inset(mode), most = greater(pa, greater(pb, pc)) - inset(mode);
  triangle->low = whole((f4)wasm_f32x4_floor((v128_t)greater(least, (f4){tile.left, tile.top, 0, 0})));
  triangle->high = whole((f4)wasm_f32x4_floor((v128_t)smaller(most, (f4){tile.right - 1, tile.bottom - 1, 1, 1})));
}

INLINE void draw_triangle(const Scene *s, Triangle *triangle, Tile tile, int mode) {
  const Part *part = triangle->part;
  Surface *t = &triangle->surface;
  const i4 low = triangle->low, high = triangle->high;
  uint32_t hits = (part->cover == OPAQUE ? cover_opaque : cover_through)(s, t, low, high, tile, mode) - s->hits;
  if (!hits) return;
  Span *span = s->now + tile.number;
  if (low[0] < span->begin) span->begin = low[0];
  if (high[0] >= span->end) span->end = high[0] + 1;
  const uint32_t *corner = part->indices + 3 * triangle->number, number = part->number + triangle->number;
  carry(s, part, t, corner[0], corner[1], corner[2], mode);
  if (part->cover == OPAQUE) shade_opaque(s, part, t, hits, tile, number, mode);
  else if (part->cover == CUT_OUT) shade_cut_out(s, part, t, hits, tile, number, mode);
  else shade_blended(s, part, t, hits, tile, number, mode);
}

/* -- tiles ------------------------------------------------------------------------------------------- */

/* The picture in cells and in tiles. */
typedef struct { int width, height, columns, bands; } Grid;

INLINE Grid grid(const Scene *s, int mode) {
  int width = s->width, height = s->height;
  if (coarse(mode)) width = (3 * ((width + 3) / 4) + 2) / 2, height = (3 * ((height + 3) / 4) + 2) / 2;
  return (Grid){width, height, (width + TILE - 1) / TILE, (height + BAND - 1) / BAND};
}

/* The tiles in which a triangle may be seen; 0 when nowhere. */
INLINE int tiles_of(Grid g, const Part *part, const uint32_t *corner, Visible *where, int mode) {
  f4 pa = part->screen[corner[0]], pb = part->screen[corner[1]], pc = part->screen[corner[2]];
  float area = (pb[0] - pa[0]) * (pc[1] - pa[1]) - (pb[1] - pa[1]) * (pc[0] - pa[0]);
  if (!(area < -1e-9f) && !(part->two_sided && area > 1e-9f)) return 0;
  f4 least = smaller(pa, smaller(pb, pc)), greatest = greater(pa, greater(pb, pc));
  i4 out = (least >= (f4){g.width, g.height, 3e38f, 0}) | ~(greatest > 0) | ~(greatest - least < 65536) |
           ~(least > (f4){-65536, -65536, 0, 0});
  if (wasm_i32x4_bitmask((v128_t)out) & 7) return 0; /* beside the picture, behind the camera, or of no use */
  least += inset(mode), greatest -= inset(mode);
  i4 first = whole((f4)wasm_f32x4_floor((v128_t)greater(least, all(0))));
  i4 last = whole((f4)wasm_f32x4_floor((v128_t)smaller(greatest, (f4){g.width - 1, g.height - 1, 0, 0})));
  if (first[0] > last[0] || first[1] > last[1]) return 0; /* between the samples */
  where->left = first[0] / TILE, where->right = last[0] / TILE;
  where->top = first[1] / BAND, where->bottom = last[1] / BAND;
  return 1;
}

/* Counts become where each begins. */
INLINE void begin(uint32_t *counts, int length) {
  uint32_t total = 0;
  for (int i = 0; i < length; i++) {
    uint32_t count = counts[i];
    counts[i] = total;
    total += count;
  }
}

/* Sorts the triangles into bands, each band's in the order in which they are drawn. */
INLINE void sort(const Scene *s, Grid g, int mode) {
  uint32_t *ends = s->ends, seen = 0;
  for (int i = 0; i < g.bands; i++) ends[i] = 0;
  for (uint32_t i = 0; i < s->triangles; i++) {
    uint32_t which = s->order[i];
    const Part *part = s->part + (which >> PART_SHIFT);
    Visible *where = s->visible + seen;
    where->triangle = which;
    if (!tiles_of(g, part, part->indices + 3 * (which & TRIANGLE), where, mode)) continue;
    seen++;
    for (int band = where->top; band <= where->bottom; band++) ends[band]++;
  }
  begin(ends, g.bands);
  for (uint32_t i = 0; i < seen; i++)
    for (int band = s->visible[i].top; band <= s->visible[i].bottom; band++) s->sorted[ends[band]++] = i;
}

/* Sorts a band's triangles into tiles. */
static void sort_band(const Scene *s, Grid g, int band) {
  uint32_t *limits = s->limits, first = band ? s->ends[band - 1] : 0, last = s->ends[band];
  for (int i = 0; i < g.columns; i++) limits[i] = 0;
  for (uint32_t i = first; i < last; i++) {
    const Visible *where = s->visible + s->sorted[i];
    for (int column = where->left; column <= where->right; column++) limits[column]++;
  }
  begin(limits, g.columns);
  for (uint32_t i = first; i < last; i++) {
    const Visible *where = s->visible + s->sorted[i];
    for (int column = where->left; column <= where->right; column++) s->chosen[limits[column]++] = where->triangle;
  }
}

/* So many triangles are prepared before the first of them is drawn: the processor then waits for all their vertices at once. */
enum { AHEAD = 64 };

INLINE void draw_tile(const Scene *s, Tile tile, int column, int mode) {
  Triangle triangles[AHEAD];
  for (uint32_t i = column ? s->limits[column - 1] : 0, end = s->limits[column]; i < end; i += AHEAD) {
    uint32_t count = end - i < AHEAD ? end - i : AHEAD;
    for (uint32_t k = 0; k < count; k++) prepare(s, s->chosen[i + k], tile, triangles + k, mode);
    for (uint32_t k = 0; k < count; k++) draw_triangle(s, triangles + k, tile, mode);
  }
}

/* -- picture ----------------------------------------------------------------------------------------- */

/* Two pixels' samples, added up. */
INLINE v128_t added(v128_t first, v128_t second) {
  v128_t a = wasm_i16x8_add(wasm_u16x8_extend_low_u8x16(first), wasm_u16x8_extend_high_u8x16(first));
  v128_t b = wasm_i16x8_add(wasm_u16x8_extend_low_u8x16(second), wasm_u16x8_extend_high_u8x16(second));
  return wasm_i16x8_add(wasm_i64x2_shuffle(a, b, 0, 2), wasm_i64x2_shuffle(a, b, 1, 3));
}

/* The samples of a cell that are drawn; leaves the depth clear for the next tile. */
INLINE v128_t drawn(Cell *cell) {
  const v128_t nothing = wasm_f32x4_const_splat(0);
  v128_t there = wasm_f32x4_gt(wasm_v128_load(cell->depth), nothing);
  wasm_v128_store(cell->depth, nothing);
  return there;
}

/* Four pixels in a row, each of four samples, before what is behind them. */
INLINE v128_t smoothed(Cell *cells, v128_t behind) {
  v128_t there[4] = {drawn(cells), drawn(cells + 1), drawn(cells + 2), drawn(cells + 3)};
  v128_t any = wasm_v128_or(wasm_v128_or(there[0], there[1]), wasm_v128_or(there[2], there[3]));
  if (!wasm_v128_any_true(any)) return behind;
  v128_t first = wasm_v128_bitselect(wasm_v128_load(cells[0].colour), SPREAD(behind, 0), there[0]);
  v128_t second = wasm_v128_bitselect(wasm_v128_load(cells[1].colour), SPREAD(behind, 1), there[1]);
  v128_t third = wasm_v128_bitselect(wasm_v128_load(cells[2].colour), SPREAD(behind, 2), there[2]);
  v128_t fourth = wasm_v128_bitselect(wasm_v128_load(cells[3].colour), SPREAD(behind, 3), there[3]);
  const v128_t half = wasm_i16x8_const_splat(2);
  return wasm_u8x16_narrow_i16x8(wasm_u16x8_shr(wasm_i16x8_add(added(first, second), half), 2),
                                 wasm_u16x8_shr(wasm_i16x8_add(added(third, fourth), half), 2));
}

/* Four pixels from `x` on, as red, green and blue; `end`: what is left of it is to be written. */
INLINE void write(const Scene *s, int x, int y, int end, v128_t four) {
  uint8_t *out = s->out + (y * s->width + x) * 3;
  four = wasm_i8x16_shuffle(four, four, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15);
  if (x + 6 <= end) { /* what is written beyond the four is written anew */
    wasm_v128_store(out, four);
  } else {
    int count = 3 * (end - x < 4 ? end - x : 4);
    for (int i = 0; i < count; i++) out[i] = ((uint8_t *)&four)[i];
  }
}

/* Two cells in a row, before what is behind them, become four by two pixels of the picture that is enlarged. */
INLINE void keep(const Scene *s, int x, int y, Cell *cells) {
  const uint32_t at = y * s->coarse_stride + x;
  const uint32_t *behind = s->coarse_background + at;
  uint32_t *out = s->coarse + at;
  v128_t left = wasm_v128_load(cells[0].colour), right = wasm_v128_load(cells[1].colour);
  v128_t left_there = drawn(cells), right_there = drawn(cells + 1);
  wasm_v128_store(out, wasm_v128_bitselect(wasm_i64x2_shuffle(left, right, 0, 2), wasm_v128_load(behind),
                                           wasm_i64x2_shuffle(left_there, right_there, 0, 2)));
  out += s->coarse_stride, behind += s->coarse_stride;
  wasm_v128_store(out, wasm_v128_bitselect(wasm_i64x2_shuffle(left, right, 1, 3), wasm_v128_load(behind),
                                           wasm_i64x2_shuffle(left_there, right_there, 1, 3)));
}

INLINE Span both(Span a, Span b) {
  return (Span){a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end};
}

/* Samples to pixels wherever something is or was; returns the columns. */
INLINE Span resolve(const Scene *s, Tile tile, int mode) {
  Span now = s->now[tile.number], before = s->before[tile.number];
  if (*s->last != mode) before = (Span){tile.left, tile.right}; /* tiles were other ones */
  s->before[tile.number] = now;
  s->now[tile.number] = (Span){s->width, 0};
  const Span where = both(now, before);
  const int begin = where.begin & ~3, end = where.end;
  for (int row = tile.top; row < tile.bottom; row++) {
    Cell *cells = s->cells + (row - tile.top) * TILE - tile.left;
    if (coarse(mode)) {
      for (int x = begin; x < end; x += 2) keep(s, 2 * x, 2 * row, cells + x);
    } else {
      const uint32_t *background = s->background + row * s->stride;
      for (int x = begin; x < end; x += 4) write(s, x, row, end, smoothed(cells + x, wasm_v128_load(background + x)));
    }
  }
  return where;
}

/* Three quarters of the first and one of the second. */
INLINE v128_t nearer(v128_t first, v128_t second) { return wasm_u8x16_avgr(first, wasm_u8x16_avgr(first, second)); }

/* Four pixels in the place of three; the fourth that is read follows. */
INLINE v128_t widened(const uint32_t *from) {
  v128_t four = wasm_v128_load(from), near = wasm_i32x4_shuffle(four, four, 0, 1, 1, 2);
  v128_t between = wasm_u8x16_avgr(near, wasm_i32x4_shuffle(four, four, 0, 0, 2, 3));
  return wasm_u8x16_avgr(between, wasm_i32x4_shuffle(near, between, 0, 1, 6, 3));
}

/* The coarse picture, four pixels in the place of three each way: bilinear, where these columns of cells matter. */
INLINE void enlarge(const Scene *s, Span cells) {
  const int height = s->height, stride = s->coarse_stride, begin = (2 * cells.begin - 1) / 3 * 4;
  const int end = (2 * cells.end - 1) / 3 * 4 + 4, width = end < (int)s->width ? end : (int)s->width;
  for (int y = 0; y < height; y += 4) {
    for (int x = begin; x < width; x += 4) {
      const uint32_t *from = s->coarse + y / 4 * 3 * stride + x / 4 * 3;
      v128_t first = widened(from), second = widened(from + stride), third = widened(from + 2 * stride);
      write(s, x, y, width, first);
      if (y + 1 < height) write(s, x, y + 1, width, nearer(second, first));
      if (y + 2 < height) write(s, x, y + 2, width, wasm_u8x16_avgr(second, third));
      if (y + 3 < height) write(s, x, y + 3, width, nearer(third, widened(from + 3 * stride)));
    }
  }
}

/* Marks the triangles that a tile shows. */
static void mark(const Scene *s) {
  for (Cell *cell = s->cells; cell < s->cells + TILE * BAND; cell++) {
    for (int k = 0; k < 4; k++) {
      if (cell->depth[k] > 0) s->out[cell->colour[k]] = 1;
      cell->depth[k] = 0;
    }
  }
}

/* `mode` is a constant. */
INLINE void draw_all(const Scene *s, int mode) {
  const Grid g = grid(s, mode);
  Span changed = {g.width, 0};
  for (uint32_t k = 0; k < s->parts; k++) {
    shape(s->part + k, s->weights);
    place(s, s->part + k, mode);
  }
  sort(s, g, mode);
  for (int band = 0; band < g.bands; band++) {
    sort_band(s, g, band);
    for (int column = 0; column < g.columns; column++) {
      int left = column * TILE, right = left + TILE, top = band * BAND, bottom = top + BAND;
      if (right > g.width) right = g.width;
      if (bottom > g.height) bottom = g.height;
      Tile tile = {band * g.columns + column, left, top, right, bottom};
      draw_tile(s, tile, column, mode);
      if (mode == PROBE) mark(s);
      else changed = both(changed, resolve(s, tile, mode));
    }
  }
  if (coarse(mode)) enlarge(s, changed);
  *s->last = mode;
}

/* Draws one frame of the scene into its `out`. */
EXPORT("draw") void draw(const Scene *s, int smooth) {
  if (smooth) draw_all(s, SMOOTH);
  else draw_all(s, COARSE);
}

/* Marks in `out` which triangles are seen in this frame. */
EXPORT("probe") void probe(const Scene *s) { draw_all(s, PROBE); }

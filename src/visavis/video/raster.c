/* The renderer's inner loops: blendshapes, light, triangles, anti-aliasing.

   Compiled to WebAssembly by tools/renderer_kernel.py: no compiler and no libraries are needed where it runs,
   pictures are the same on every machine, and a hostile model cannot reach beyond its own memory.

   Everything lives in structures that `raster.py` lays out: change both together. */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define INLINE static inline __attribute__((always_inline))

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef uint32_t u4 __attribute__((vector_size(16)));

enum { WEIGHTS = 52, LEVELS = 12 };
/* A triangle of the scene: its part above, its number in it below. */
enum { PART_SHIFT = 24, TRIANGLE = (1 << PART_SHIFT) - 1 };
enum { LIT, BAKED, PAINTED };
enum { OPAQUE, CUT_OUT, BLENDED };
/* One sample a pixel; four; four that keep the number of the triangle instead of its colour. */
enum { PLAIN, SMOOTH, PROBE };

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
  uint8_t *done;              /* a vertex: 1 when lit in this frame */
  const uint32_t *indices;
  const Texture *texture;     /* or null */
} Part;

typedef struct {
  float key_direction[3], fill_direction[3], rim_direction[3];
  float key[3], fill[3], sky[3], ground[3], terminator[3];
  float rim, exposure;
} Rig;

typedef struct { int32_t begin, end; } Span;
typedef struct { uint32_t triangle; uint16_t first, last; } Visible;
/* Where a triangle is nearer than what is there: x, the row in the band, which samples: 23, 5 and 4 bits. */
typedef uint32_t Hit;

typedef struct {
  uint32_t parts, triangles, width, height, stride, tones;
  float tone_scale;
  const Part *part;
  const uint32_t *order;       /* all triangles, the nearest first, those that let light through last */
  Rig rig;
  float camera[3], focal;
  float rotation[9], pivot[3], breath;
  float weights[WEIGHTS];
  const uint8_t *tone;         /* displayed value of `index / tone_scale` of linear light */
  const uint32_t *background;  /* stride * height: 0xAABBGGRR */
  float *depth;                /* a band: 1 / distance, 0 where nothing is; 4 a pixel with anti-aliasing */
  uint32_t *colour;            /* a band: the same */
  Hit *hits;                   /* a band: one a pixel */
  Visible *visible;            /* one a triangle */
  uint32_t *sorted, *ends;     /* a triangle and band: part and triangle; a band: where its triangles end */
  Span *now, *before;          /* a row: what is drawn on in this frame, and what was in the last */
  uint8_t *out;                /* width * height * 3; probing: a triangle, all parts' in turn: 1 where seen */
} Scene;

extern uint8_t __heap_base;
EXPORT("heap") uint32_t heap(void) { return (uint32_t)(uintptr_t)&__heap_base; }

INLINE float at_least(float a, float b) { return a > b ? a : b; }
INLINE float at_most(float a, float b) { return a < b ? a : b; }
/* exp(-x) for x >= 0, to 0.2 % of 1 */
INLINE float fading(float x) {
  float f = at_least(1 - x / 256, 0);
  for (int i = 0; i < 8; i++) f *= f;
  return f;
}
INLINE f4 load(const f4 *at) { return (f4)wasm_v128_load(at); }
/* Whole numbers from floats below 2^21 in size, rounded: adding this leaves them in the lowest bits. */
static const float WHOLE = 12582912.f;
INLINE i4 whole(f4 x) { return (i4)(x + WHOLE) - (i4)wasm_f32x4_const_splat(WHOLE); }

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

INLINE f4 vector(const float *v) { return (f4){v[0], v[1], v[2], 0}; }
INLINE float sum3(f4 v) { return v[0] + v[1] + v[2]; }

/* The frame's turn and breath, ready for `posed`. */
typedef struct { f4 turn[3], pivot; } Pose;

static Pose pose_of(const Scene *s) {
  const float *r = s->rotation;
  return (Pose){{{r[0] - 1, r[3], r[6], 0}, {r[1], r[4] - 1, r[7], 0}, {r[2], r[5], r[8] - 1, 0}}, vector(s->pivot)};
}

INLINE f4 turned(const Pose *pose, f4 v, float share) {
  return v + (pose->turn[0] * v[0] + pose->turn[1] * v[1] + pose->turn[2] * v[2]) * share;
}

/* Six floats of a vertex. */
INLINE const float *vertex(const Part *part, uint32_t i) { return (part->offsets ? part->shaped : part->rest) + 6 * i; }

/* The head turns as one, the neck follows less and less down to the collar; the chest breathes. */
INLINE f4 posed(const Scene *s, const Pose *pose, const Part *part, uint32_t i) {
  f4 p = vector(vertex(part, i));
  float share = part->follow[2 * i], chest = part->follow[2 * i + 1];
  f4 breath = {p[0] * .008f * chest, .0014f, .0022f * chest, 0};
  return turned(pose, p - pose->pivot, share) + pose->pivot + breath * s->breath;
}

static void place(const Scene *s, const Part *part) {
  const Pose pose = pose_of(s);
  const f4 camera = vector(s->camera), middle = {s->width * .5f, s->height * .5f, 0, 0};
  const f4 flip = {s->focal, -s->focal, 0, 0}, third = {0, 0, 1, 0};
  __builtin_memset(part->done, 0, part->vertices);
  for (uint32_t i = 0; i < part->vertices; i++) {
    f4 p = posed(s, &pose, part, i) - camera;
    float nearness = -1 / p[2];
    part->screen[i] = middle + p * flip * nearness + third * nearness;
  }
}

/* Key with wrapped, reddened terminator, fill, sky and ground, two highlights, and a rim. */
static f4 lit(const Scene *s, const Part *part, uint32_t i) {
  const Rig *rig = &s->rig;
  const Pose pose = pose_of(s);
  const f4 key = vector(rig->key_direction), fill = vector(rig->fill_direction);
  float visible = part->light[2 * i], specular = part->light[2 * i + 1];
  f4 n = turned(&pose, vector(vertex(part, i) + 3), part->follow[2 * i]);
  f4 view = vector(s->camera) - posed(s, &pose, part, i);
  f4 lengths = (f4)wasm_f32x4_sqrt((v128_t)((f4){sum3(n * n), sum3(view * view), 1, 1} + 1e-12f));
  n /= lengths[0], view /= lengths[1];
  f4 half_a = key + view, half_b = fill + view;
  lengths = (f4)wasm_f32x4_sqrt((v128_t)((f4){sum3(half_a * half_a), sum3(half_b * half_b), 1, 1} + 1e-12f));
  float a = at_least(sum3(n * half_a) / lengths[0], 0), b = at_least(sum3(n * half_b) / lengths[1], 0);
  float k = sum3(n * key), up = n[1] * .5f + .5f, edge = (k - .02f) / .30f;
  float f = at_least((sum3(n * fill) + .5f) / 1.5f, 0), terminator = fading(edge * edge) * visible;
  f4 wrap = vector(part->wrap), reddened = 1 + (1 - visible) * (f4){.35f, .06f, 0, 0};
  f4 wrapped = (f4)wasm_f32x4_pmax((v128_t)((k + wrap) / (1 + wrap)), wasm_f32x4_const_splat(0)) * visible * reddened;
  f4 result = (vector(rig->key) * wrapped + vector(rig->fill) * f + vector(rig->sky) * up +
               vector(rig->ground) * (1 - up) + vector(rig->terminator) * terminator) * load((f4 *)(part->tint + 4 * i));
  float a4 = a * a * a * a, a12 = a4 * a4 * a4, a48 = a12 * a12 * a12 * a12;
  float b4 = b * b * b * b, b16 = b4 * b4 * b4 * b4;
  float rim = 1 - at_least(sum3(n * view), 0);
  rim = rim * rim * rim * at_least(sum3(n * vector(rig->rim_direction)) + .25f, 0);
  result[3] = specular * ((.55f * a12 + .60f * a48) * visible * 1.6f + .14f * b16) + rim * rig->rim * .5f * visible;
  return result * rig->exposure;
}

/* Lights a vertex that is seen, once a frame. */
INLINE void light(const Scene *s, const Part *part, uint32_t i) {
  if (part->lighting != LIT || part->done[i]) return;
  part->done[i] = 1;
  part->shade[i] = lit(s, part, i);
}

/* -- pixels ------------------------------------------------------------------------------------------ */

/* Where in a pixel the four samples lie, and the middle of every set of them. */
static const float SAMPLE_X[4] = {.375f, .875f, .125f, .625f}, SAMPLE_Y[4] = {.125f, .375f, .625f, .875f};
static float MIDDLE_X[16], MIDDLE_Y[16];

EXPORT("start") void start(void) {
  for (int mask = 1; mask < 16; mask++) {
    float x = 0, y = 0;
    int count = 0;
    for (int i = 0; i < 4; i++)
      if (mask >> i & 1) x += SAMPLE_X[i], y += SAMPLE_Y[i], count++;
    MIDDLE_X[mask] = x / count;
    MIDDLE_Y[mask] = y / count;
  }
}

/* What a triangle carries, as planes over the picture. */
typedef struct {
  f4 shade, shade_x, shade_y;
  float x, y, z, z_x, z_y, alpha;         /* the planes begin at the third corner */
  f4 uv, uv_x, uv_y;                      /* in 256ths of `texels`' texels */
  const uint32_t *texels;
  uint32_t u_mask, v_mask;
} Surface;

/* Bilinear: the colour as square roots of light and alpha, all in 0..255; and how fast alpha changes here. */
INLINE f4 sample(const Surface *t, f4 uv, float *change) {
  i4 at = whole(uv);
  uint32_t column = at[0] >> 8 & t->u_mask, row = at[1] >> 8 & t->v_mask;
  int fu = at[0] & 255, fv = at[1] & 255;
  const uint32_t *texel = t->texels + row * (t->u_mask + 2) + column;
  v128_t above = wasm_u16x8_load8x8(texel), below = wasm_u16x8_load8x8(texel + t->u_mask + 2);
  v128_t mixed = wasm_u16x8_shr(wasm_i16x8_add(wasm_i16x8_mul(above, wasm_i16x8_splat(256 - fv)),
                                               wasm_i16x8_mul(below, wasm_i16x8_splat(fv))), 8);
  f4 left = (f4)wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(mixed));
  f4 right = (f4)wasm_f32x4_convert_i32x4(wasm_u32x4_extend_high_u16x8(mixed));
  if (change) {
    v128_t down = wasm_i16x8_sub(below, above);
    float over_u = right[3] - left[3], first = wasm_i16x8_extract_lane(down, 3), second = wasm_i16x8_extract_lane(down, 7);
    float over_v = first + (second - first) * (fu * (1 / 256.f));
    *change = (__builtin_fabsf(over_u * t->uv_x[0] + over_v * t->uv_x[1]) +
               __builtin_fabsf(over_u * t->uv_y[0] + over_v * t->uv_y[1])) * (1 / 256.f);
  }
  return left + (right - left) * (fu * (1 / 256.f));
}

/* The samples of `mask` that a hair's edge of this alpha covers. */
INLINE int covered(float cutoff, int mask, float alpha, float change, int aa) {
  if (alpha < .12f * 255) return 0;
  if (alpha > 254) return mask;
  float sharp = at_most(at_least((alpha - cutoff) / at_least(change, .01f) * .6f + .5f, 0), 1);
  if (!aa) return sharp >= .5f ? mask : 0;
  static const uint8_t SOME[5] = {0, 1 << 1, 1 << 1 | 1 << 2, 1 << 0 | 1 << 1 | 1 << 3, 15};
  return mask & SOME[(int)(sharp * 4 + .5f)];
}

INLINE uint32_t blend(uint32_t under, f4 over, float alpha) {
  uint32_t result = 0xFF000000;
  for (int c = 0; c < 3; c++) {
    float mixed = (float)(under >> (8 * c) & 255) * (1 - alpha) + over[c] * alpha;
    result |= (uint32_t)(mixed + .5f) << (8 * c);
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

/* Colours the pixels that a triangle covers; `cover` and `mode` are constants. */
INLINE void paint(const Scene *s, const Part *part, const Surface *surface, const Hit *hits, uint32_t count,
                  uint32_t top, uint32_t number, int cover, int mode) {
  const int aa = mode != PLAIN;
  const Surface t = *surface;
  const uint8_t *tones = s->tone;
  const float brightest = s->tones - 1, cutoff = part->cutoff * 255;
  const uint32_t stride = s->stride;
  float *depths = s->depth;
  uint32_t *colours = s->colour;
  for (uint32_t i = 0; i < count; i++) {
    int x = hits[i] >> 9, row = hits[i] >> 4 & 31, mask = hits[i] & 15;
    float dx = x + (aa ? MIDDLE_X[mask] : .5f) - t.x, dy = (int)(top + row) + (aa ? MIDDLE_Y[mask] : .5f) - t.y, change = 0;
    f4 shade = t.shade + t.shade_x * dx + t.shade_y * dy;
    f4 texel = {255, 255, 255, 255};
    if (t.texels) {
      texel = sample(&t, t.uv + t.uv_x * dx + t.uv_y * dy, cover == CUT_OUT ? &change : 0);
      if (cover == CUT_OUT && !(mask = covered(cutoff, mask, texel[3], change, aa))) continue;
    }
    uint32_t colour, index = (row * stride + x) * (aa ? 4 : 1);
    f4 light;
    if (mode == PROBE) {
      colour = number;
    } else if (cover == BLENDED && part->lighting == PAINTED) {
      light = shade;
    } else {
      light = texel * texel * shade + shade[3];
      v128_t tone = (v128_t)whole((f4)wasm_f32x4_pmin(wasm_f32x4_pmax((v128_t)light, wasm_f32x4_const_splat(0)),
                                                      wasm_f32x4_splat(brightest)));
      u4 step = (u4)wasm_u32x4_min(tone, wasm_u32x4_splat(s->tones - 1)); /* light may be no number */
      uint32_t red = tones[step[0]], green = tones[step[1]], blue = tones[step[2]];
      colour = red | green << 8 | blue << 16 | 0xFF000000;
      light = (f4){red, green, blue, 0};
    }
    if (cover == BLENDED) {
      float alpha = at_most(at_least(texel[3] * (1 / 255.f) * t.alpha * (part->lighting == PAINTED ? shade[3] : 1), 0), 1);
      for (int k = 0; k < (aa ? 4 : 1); k++) {
        if (!(mask >> k & 1)) continue;
        if (depths[index + k] == 0) { /* the first thing here, so what is under it is the background */
          depths[index + k] = 1e-6f;
          colours[index + k] = s->background[(top + row) * stride + x];
        }
        colours[index + k] = blend(colours[index + k], light, alpha);
      }
    } else if (aa) {
      put_where(colours + index, wasm_u32x4_splat(colour), lanes(mask));
      if (cover == CUT_OUT) {
        f4 from_x = (float)x - t.x + load((f4 *)SAMPLE_X), from_y = (float)(int)(top + row) - t.y + load((f4 *)SAMPLE_Y);
        put_where(depths + index, (v128_t)(t.z + from_x * t.z_x + from_y * t.z_y), lanes(mask));
      }
    } else {
      colours[index] = colour;
      if (cover == CUT_OUT) depths[index] = t.z + dx * t.z_x + dy * t.z_y;
    }
  }
}

static void carry(const Scene *s, const Part *part, Surface *t, uint32_t a, uint32_t b, uint32_t c, const float *wa, const float *wb) {
  f4 from_a = part->shade[a] - part->shade[c], from_b = part->shade[b] - part->shade[c];
  float light = s->tone_scale / 65025; /* times the square of a texel, which is a root: an index of tones */
  f4 unit = part->lighting == PAINTED ? (f4){255, 255, 255, 1} : (f4){light, light, light, s->tone_scale};
  from_a *= unit, from_b *= unit;
  t->shade = part->shade[c] * unit;
  t->shade_x = from_a * wa[0] + from_b * wb[0];
  t->shade_y = from_a * wa[1] + from_b * wb[1];
  t->alpha = part->tint ? part->tint[4 * c + 3] : 1;
  t->texels = 0;
  const Texture *texture = part->texture;
  if (!texture) return;
  const float *ua = part->uv + 2 * a, *ub = part->uv + 2 * b, *uc = part->uv + 2 * c;
  f4 size = {1u << texture->width_log2, 1u << texture->height_log2, 0, 0}, at = {uc[0], uc[1], 0, 0};
  f4 side_a = ((f4){ua[0], ua[1], 0, 0} - at) * size, side_b = ((f4){ub[0], ub[1], 0, 0} - at) * size;
  t->uv_x = side_a * wa[0] + side_b * wb[0];
  t->uv_y = side_a * wa[1] + side_b * wb[1];
  /* The level at which one texel is about one pixel: its exponent is half of that of the texels a pixel covers. */
  union { float value; int32_t bits; } texels = {__builtin_fabsf(t->uv_x[0] * t->uv_y[1] - t->uv_x[1] * t->uv_y[0])};
  int level = ((texels.bits >> 23) - 127 + 1) >> 1, last = texture->levels - 1;
  level = level < 0 ? 0 : level > last ? last : level;
  union { int32_t bits; float value; } scale = {(127 + 8 - level) << 23};
  t->uv = (at - (f4)wasm_f32x4_floor((v128_t)at)) * size * scale.value - 128;
  t->uv_x *= scale.value, t->uv_y *= scale.value;
  t->texels = texture->level[level];
  t->u_mask = (1u << ((int)texture->width_log2 > level ? (int)texture->width_log2 - level : 0)) - 1;
  t->v_mask = (1u << ((int)texture->height_log2 > level ? (int)texture->height_log2 - level : 0)) - 1;
}

INLINE float greatest(f4 v) {
  v128_t pairs = wasm_f32x4_pmax((v128_t)v, wasm_i32x4_shuffle((v128_t)v, (v128_t)v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(wasm_f32x4_pmax(pairs, wasm_i32x4_shuffle(pairs, pairs, 1, 0, 3, 2)), 0);
}

/* One triangle within the rows from `top` to before `bottom`, of which `depth` and `colour` hold the samples. */
INLINE void triangle(const Scene *s, const Part *part, uint32_t number, uint32_t first_number, int top, int bottom, int mode) {
  const int aa = mode != PLAIN;
  const uint32_t *corner = part->indices + 3 * number;
  const uint32_t a = corner[0], b = corner[1], c = corner[2];
  f4 pa = part->screen[a], pb = part->screen[b], pc = part->screen[c];
  float inverse = 1 / ((pb[0] - pa[0]) * (pc[1] - pa[1]) - (pb[1] - pa[1]) * (pc[0] - pa[0]));
  float wa[2] = {(pb[1] - pc[1]) * inverse, (pc[0] - pb[0]) * inverse};
  float wb[2] = {(pc[1] - pa[1]) * inverse, (pa[0] - pc[0]) * inverse};
  float wc[2] = {-wa[0] - wb[0], -wa[1] - wb[1]};
  Surface surface;
  surface.x = pc[0], surface.y = pc[1], surface.z = pc[2];
  surface.z_x = (pa[2] - pc[2]) * wa[0] + (pb[2] - pc[2]) * wb[0];
  surface.z_y = (pa[2] - pc[2]) * wa[1] + (pb[2] - pc[2]) * wb[1];

  float left = at_most(pa[0], at_most(pb[0], pc[0])), right = at_least(pa[0], at_least(pb[0], pc[0]));
  float upper = at_most(pa[1], at_most(pb[1], pc[1])), lower = at_least(pa[1], at_least(pb[1], pc[1]));
  int first_row = (int)at_least(__builtin_floorf(upper), top), last_row = (int)at_most(lower, bottom - 1);
  float first = at_least(__builtin_floorf(left), 0), last = at_most(right, s->width - 1);
  const f4 lane_x = aa ? load((f4 *)SAMPLE_X) : (f4){.5f, 1.5f, 2.5f, 3.5f};
  const f4 lane_y = aa ? load((f4 *)SAMPLE_Y) : (f4){.5f, .5f, .5f, .5f};
  const float low = aa ? .125f : .5f, high = aa ? .875f : .5f;
  const int step = aa ? 1 : 4, opaque = part->cover == OPAQUE;
  /* The corners' weights at x = 0 of the first row, where they are greatest within a pixel: a row begins where the
     rising ones become positive and ends where the falling ones cease to be. The fourth keeps to the picture. */
  f4 slope = {wa[0], wb[0], wc[0], 1}, down = {wa[1], wb[1], wc[1], 0}, from_y = (float)first_row - (f4){pc[1], pc[1], pc[1], 0};
  f4 reach = (f4)wasm_f32x4_pmax((v128_t)(slope * low), (v128_t)(slope * high)) + (f4)wasm_f32x4_pmax((v128_t)(down * low), (v128_t)(down * high)) + 1e-5f;
  f4 value = reach - pc[0] * slope + from_y * down + (f4){0, 0, 1, 0};
  f4 crossing = -1 / slope;
  const f4 begins = {-1e9f, -1e9f, -1e9f, first}, ends = {-1e9f, -1e9f, -1e9f, -last};
  const v128_t rising = wasm_v128_and((v128_t)(slope > 0), wasm_i32x4_const(-1, -1, -1, 0));
  const v128_t falling = (v128_t)(slope < 0);
  f4 in_a_row = (lane_x - pc[0]) * wa[0] + ((float)first_row - pc[1] + lane_y) * wa[1];
  f4 in_b_row = (lane_x - pc[0]) * wb[0] + ((float)first_row - pc[1] + lane_y) * wb[1];
  f4 z_row = surface.z + (lane_x - pc[0]) * surface.z_x + ((float)first_row - pc[1] + lane_y) * surface.z_y;
  Hit *hit = s->hits;

  for (int y = first_row; y <= last_row; y++, value += down, in_a_row += wa[1], in_b_row += wb[1], z_row += surface.z_y) {
    f4 at = (f4)wasm_f32x4_pmin(wasm_f32x4_pmax((v128_t)(value * crossing), wasm_f32x4_const_splat(-8192)),
                                wasm_f32x4_const_splat(8192));
    float begin = greatest((f4)wasm_v128_bitselect((v128_t)at, (v128_t)begins, rising));
    float end = -greatest((f4)wasm_v128_bitselect((v128_t)-at, (v128_t)ends, falling));
    i4 span_x = whole((f4){begin + .499f, end - .499f, 0, 0});
    int x = span_x[0], stop = span_x[1];
    if (x > stop) continue;
    Span *span = s->now + y;
    if (x < span->begin) span->begin = x;
    if (stop + 1 > span->end) span->end = stop + 1;
    f4 in_a = in_a_row + x * wa[0], in_b = in_b_row + x * wb[0], z = z_row + x * surface.z_x;
    float *depth = s->depth + ((y - top) * s->stride + x) * (aa ? 4 : 1);
    for (; x <= stop; x += step, depth += 4, in_a += wa[0] * step, in_b += wb[0] * step, z += surface.z_x * step) {
      i4 inside = (in_a >= 0) & (in_b >= 0) & (in_a + in_b <= 1) & (z > (f4)wasm_v128_load(depth));
      int mask = wasm_i32x4_bitmask((v128_t)inside);
      if (!aa && x + 3 > stop) mask &= 15 >> (x + 3 - stop);
      if (!mask) continue;
      if (opaque) put_where(depth, (v128_t)z, aa ? (v128_t)inside : lanes(mask));
      if (aa) {
        *hit++ = x << 9 | (y - top) << 4 | mask;
      } else {
        for (int i = 0; i < 4; i++)
          if (mask >> i & 1) *hit++ = (x + i) << 9 | (y - top) << 4 | 1;
      }
    }
  }
  uint32_t hits = hit - s->hits;
  if (!hits) return;
  light(s, part, a), light(s, part, b), light(s, part, c);
  carry(s, part, &surface, a, b, c, wa, wb);
  if (part->cover == OPAQUE) paint(s, part, &surface, s->hits, hits, top, first_number + number, OPAQUE, mode);
  else if (part->cover == CUT_OUT) paint(s, part, &surface, s->hits, hits, top, first_number + number, CUT_OUT, mode);
  else if (mode != PROBE) paint(s, part, &surface, s->hits, hits, top, first_number + number, BLENDED, mode);
}

/* -- bands ------------------------------------------------------------------------------------------- */

/* The picture is drawn in bands of so many rows, whose samples fit into a processor's nearest memory. */
enum { BAND = 32 };

/* The bands in which a triangle may be seen; 0 when nowhere. */
INLINE int bands_of(const Scene *s, const Part *part, const uint32_t *corner, int *first, int *last) {
  f4 pa = part->screen[corner[0]], pb = part->screen[corner[1]], pc = part->screen[corner[2]];
  float area = (pb[0] - pa[0]) * (pc[1] - pa[1]) - (pb[1] - pa[1]) * (pc[0] - pa[0]);
  if (!(area < -1e-9f) && !(part->two_sided && area > 1e-9f)) return 0;
  float left = at_most(pa[0], at_most(pb[0], pc[0])), right = at_least(pa[0], at_least(pb[0], pc[0]));
  float upper = at_most(pa[1], at_most(pb[1], pc[1])), lower = at_least(pa[1], at_least(pb[1], pc[1]));
  if (!(right > 0 && lower > 0 && left < s->width && upper < s->height)) return 0;
  if (!(pa[2] > 0 && pb[2] > 0 && pc[2] > 0)) return 0; /* behind the camera */
  if (right - left > 65536 || lower - upper > 65536) return 0;
  *first = (int)at_least(upper, 0) / BAND;
  *last = (int)at_most(lower, s->height - 1) / BAND;
  return 1;
}

/* Sorts the triangles into bands, each band's in the order in which they are drawn. */
static void sort(const Scene *s) {
  uint32_t bands = (s->height + BAND - 1) / BAND, *ends = s->ends, seen = 0, total = 0;
  for (uint32_t i = 0; i <= bands; i++) ends[i] = 0;
  for (uint32_t i = 0; i < s->triangles; i++) {
    uint32_t which = s->order[i];
    const Part *part = s->part + (which >> PART_SHIFT);
    int first, last;
    if (!bands_of(s, part, part->indices + 3 * (which & TRIANGLE), &first, &last)) continue;
    s->visible[seen++] = (Visible){which, first, last};
    for (int band = first; band <= last; band++) ends[band]++;
  }
  for (uint32_t i = 0; i < bands; i++) {
    uint32_t count = ends[i];
    ends[i] = total;
    total += count;
  }
  for (uint32_t i = 0; i < seen; i++)
    for (int band = s->visible[i].first; band <= s->visible[i].last; band++) s->sorted[ends[band]++] = s->visible[i].triangle;
}

INLINE void draw_band(const Scene *s, uint32_t band, int mode) {
  int top = band * BAND, bottom = top + BAND < (int)s->height ? top + BAND : (int)s->height;
  for (uint32_t i = band ? s->ends[band - 1] : 0; i < s->ends[band]; i++) {
    uint32_t which = s->sorted[i];
    const Part *part = s->part + (which >> PART_SHIFT);
    triangle(s, part, which & TRIANGLE, part->number, top, bottom, mode);
  }
}

/* -- picture ----------------------------------------------------------------------------------------- */

INLINE void put(uint8_t *to, uint32_t colour) {
  to[0] = colour, to[1] = colour >> 8, to[2] = colour >> 16;
}

INLINE uint32_t averaged(v128_t samples) {
  v128_t pairs = wasm_i16x8_add(wasm_u16x8_extend_low_u8x16(samples), wasm_u16x8_extend_high_u8x16(samples));
  v128_t sum = wasm_i16x8_add(pairs, wasm_i64x2_shuffle(pairs, pairs, 1, 0));
  sum = wasm_u16x8_shr(wasm_i16x8_add(sum, wasm_i16x8_const_splat(2)), 2);
  return wasm_i32x4_extract_lane(wasm_u8x16_narrow_i16x8(sum, sum), 0);
}

/* Samples to pixels wherever something is or was; leaves the depth clear for the next band. */
INLINE void resolve(const Scene *s, uint32_t band, int aa) {
  uint32_t top = band * BAND, bottom = top + BAND < s->height ? top + BAND : s->height;
  for (uint32_t y = top; y < bottom; y++) {
    Span now = s->now[y], before = s->before[y];
    int begin = now.begin < before.begin ? now.begin : before.begin, end = now.end > before.end ? now.end : before.end;
    s->before[y] = now;
    s->now[y] = (Span){s->width, 0};
    const uint32_t *background = s->background + y * s->stride;
    uint8_t *out = s->out + y * s->width * 3;
    for (int x = begin; x < end; x++) {
      uint32_t pixel = (y - top) * s->stride + x, colour = background[x];
      if (aa) {
        v128_t drawn = wasm_f32x4_gt(wasm_v128_load(s->depth + 4 * pixel), wasm_f32x4_const_splat(0));
        if (wasm_v128_any_true(drawn)) {
          colour = averaged(wasm_v128_bitselect(wasm_v128_load(s->colour + 4 * pixel), wasm_u32x4_splat(colour), drawn));
          wasm_v128_store(s->depth + 4 * pixel, wasm_f32x4_const_splat(0));
        }
      } else if (s->depth[pixel] > 0) {
        colour = s->colour[pixel];
        s->depth[pixel] = 0;
      }
      put(out + x * 3, colour);
    }
  }
}

static void prepare(const Scene *s) {
  for (uint32_t k = 0; k < s->parts; k++) {
    shape(s->part + k, s->weights);
    place(s, s->part + k);
  }
  sort(s);
}

/* Draws one frame of the scene into its `out`. */
EXPORT("draw") void draw(const Scene *s, int smooth) {
  prepare(s);
  for (uint32_t band = 0; band * BAND < s->height; band++) {
    if (smooth) draw_band(s, band, SMOOTH), resolve(s, band, 1);
    else draw_band(s, band, PLAIN), resolve(s, band, 0);
  }
}

/* Marks in `out` which triangles are seen in this frame. */
EXPORT("probe") void probe(const Scene *s) {
  prepare(s);
  for (uint32_t band = 0; band * BAND < s->height; band++) {
    draw_band(s, band, PROBE);
    for (uint32_t i = 0; i < 4 * s->stride * BAND; i++) {
      if (s->depth[i] > 0) s->out[s->colour[i]] = 1;
      s->depth[i] = 0;
    }
  }
}

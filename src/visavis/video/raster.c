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
enum { LIT, BAKED, PAINTED };
enum { OPAQUE, CUT_OUT, BLENDED };

/* Power-of-two sizes, wrapping; every level has one more column and row, copies of the first. Red, green and
   blue are square roots of linear light. */
typedef struct {
  uint32_t width_log2, height_log2, levels;
  const uint32_t *level[LEVELS];
} Texture;

typedef struct {
  uint32_t vertices, triangles, lighting, cover, two_sided, follows;
  float wrap[3], cutoff;
  const float *rest;          /* 6 a vertex: position, normal */
  float *shaped;              /* the same with blendshapes */
  const uint32_t *offsets;    /* 53: where each blendshape's moves begin */
  const uint32_t *moved;      /* vertex of each move */
  const float *moves;         /* 6 a move: position, normal */
  const float *tint;          /* 4 a vertex: linear colour, alpha */
  const float *light;         /* 2 a vertex: visibility of the key, strength of highlights */
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

typedef struct {
  uint32_t parts, width, height, stride, tones;
  float tone_scale;
  const Part *part;
  Rig rig;
  float camera[3], focal;
  float rotation[9], pivot[3], neck[2], breath;
  float weights[WEIGHTS];
  const uint8_t *tone;         /* displayed value of `index / tone_scale` of linear light */
  const uint32_t *background;  /* stride * height: 0xAABBGGRR */
  float *depth;                /* 1 / distance, 0 where nothing is: a sample, 4 a pixel with anti-aliasing */
  uint32_t *colour;            /* the same */
  Span *now, *before;          /* a row: what is drawn on in this frame, and what was in the last */
  uint8_t *out;                /* width * height * 3 */
} Scene;

extern uint8_t __heap_base;
EXPORT("heap") uint32_t heap(void) { return (uint32_t)(uintptr_t)&__heap_base; }

INLINE float at_least(float a, float b) { return a > b ? a : b; }
INLINE float at_most(float a, float b) { return a < b ? a : b; }
INLINE float root(float x) { return __builtin_sqrtf(x); }
INLINE float dot(const float *a, const float *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
INLINE float smoothstep(float from, float to, float x) {
  float t = at_most(at_least((x - from) / (to - from), 0), 1);
  return t * t * (3 - 2 * t);
}
INLINE void normalise(float *v) {
  float scale = 1 / root(dot(v, v) + 1e-12f);
  for (int c = 0; c < 3; c++) v[c] *= scale;
}
/* exp(-x) for x >= 0, to 0.2 % of 1 */
INLINE float fading(float x) {
  float f = at_least(1 - x / 256, 0);
  for (int i = 0; i < 8; i++) f *= f;
  return f;
}
INLINE f4 load(const f4 *at) { return (f4)wasm_v128_load(at); }
INLINE int any(i4 mask) { return wasm_v128_any_true((v128_t)mask); }

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

/* The head turns as one, the neck follows less and less down to the collar; the chest breathes. */
INLINE void pose(const Scene *s, const Part *part, float *p, float *n) {
  float share = part->follows ? smoothstep(s->neck[0], s->neck[1], p[1]) : 0;
  float chest = 1 - smoothstep(s->neck[0] - .02f, s->neck[1], p[1]);
  float width = p[0];
  if (share > 0) {
    float arm[3];
    float normal[3] = {n[0], n[1], n[2]};
    for (int c = 0; c < 3; c++) arm[c] = p[c] - s->pivot[c];
    for (int c = 0; c < 3; c++) {
      p[c] += share * (dot(s->rotation + 3 * c, arm) - arm[c]);
      n[c] += share * (dot(s->rotation + 3 * c, normal) - normal[c]);
    }
  }
  p[0] += s->breath * width * .008f * chest;
  p[1] += s->breath * .0014f;
  p[2] += s->breath * .0022f * chest;
}

INLINE float highlight(const float *n, const float *light, const float *view) {
  float half[3] = {light[0] + view[0], light[1] + view[1], light[2] + view[2]};
  normalise(half);
  return at_least(dot(n, half), 0);
}

/* Key with wrapped, reddened terminator, fill, sky and ground, two highlights, and a rim. */
INLINE f4 lit(const Rig *rig, const Part *part, const float *n, const float *view, const float *tint,
              float visible, float specular) {
  float k = dot(n, rig->key_direction), up = n[1] * .5f + .5f, edge = (k - .02f) / .30f;
  float f = at_least((dot(n, rig->fill_direction) + .5f) / 1.5f, 0);
  float terminator = fading(edge * edge) * visible;
  const float redden[3] = {.35f, .06f, 0};
  float result[4];
  for (int c = 0; c < 3; c++) {
    float wrap = part->wrap[c];
    float wrapped = at_least((k + wrap) / (1 + wrap), 0) * visible * (1 + (1 - visible) * redden[c]);
    result[c] = (rig->key[c] * wrapped + rig->fill[c] * f + rig->sky[c] * up + rig->ground[c] * (1 - up) +
                 rig->terminator[c] * terminator) * tint[c] * rig->exposure;
  }
  float a = highlight(n, rig->key_direction, view), b = highlight(n, rig->fill_direction, view);
  float a4 = a * a * a * a, a12 = a4 * a4 * a4, a48 = a12 * a12 * a12 * a12;
  float b4 = b * b * b * b, b16 = b4 * b4 * b4 * b4;
  float rim = 1 - at_least(dot(n, view), 0);
  rim = rim * rim * rim * at_least(dot(n, rig->rim_direction) + .25f, 0);
  result[3] = (specular * ((.55f * a12 + .60f * a48) * visible * 1.6f + .14f * b16) +
               rim * rig->rim * .5f * visible) * rig->exposure;
  return load((f4 *)result);
}

static void place(const Scene *s, const Part *part) {
  for (uint32_t i = 0; i < part->vertices; i++) {
    const float *from = (part->offsets ? part->shaped : part->rest) + 6 * i;
    float p[3] = {from[0], from[1], from[2]}, n[3] = {from[3], from[4], from[5]};
    pose(s, part, p, n);
    float nearness = 1 / (s->camera[2] - p[2]), scale = s->focal * nearness;
    part->screen[i] = (f4){s->width * .5f + (p[0] - s->camera[0]) * scale,
                           s->height * .5f - (p[1] - s->camera[1]) * scale, nearness, 0};
    if (part->lighting != LIT) continue;
    float view[3] = {s->camera[0] - p[0], s->camera[1] - p[1], s->camera[2] - p[2]};
    normalise(view);
    normalise(n);
    part->shade[i] = lit(&s->rig, part, n, view, part->tint + 4 * i, part->light[2 * i], part->light[2 * i + 1]);
  }
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

/* A triangle: weights of its corners and all it carries, as planes over the picture. */
typedef struct {
  f4 shade, shade_x, shade_y;
  float x, y;                             /* of the corner where the planes begin */
  float u, u_x, u_y, v, v_x, v_y;         /* in texels of `texels` */
  const uint32_t *texels;
  uint32_t u_mask, v_mask;
} Surface;

/* Bilinear: the colour as square roots of light and alpha, all in 0..255; and how fast alpha changes here. */
INLINE f4 sample(const Surface *t, float u, float v, float *change) {
  float u0 = __builtin_floorf(u), v0 = __builtin_floorf(v);
  uint32_t column = (uint32_t)(int32_t)u0 & t->u_mask, row = (uint32_t)(int32_t)v0 & t->v_mask;
  const uint32_t *at = t->texels + row * (t->u_mask + 2) + column;
  int fu = (int)((u - u0) * 256), fv = (int)((v - v0) * 256);
  v128_t above = wasm_u16x8_load8x8(at), below = wasm_u16x8_load8x8(at + t->u_mask + 2);
  v128_t mixed = wasm_u16x8_shr(wasm_i16x8_add(wasm_i16x8_mul(above, wasm_i16x8_splat(256 - fv)),
                                               wasm_i16x8_mul(below, wasm_i16x8_splat(fv))), 8);
  f4 left = (f4)wasm_f32x4_convert_u32x4(wasm_u32x4_extend_low_u16x8(mixed));
  f4 right = (f4)wasm_f32x4_convert_u32x4(wasm_u32x4_extend_high_u16x8(mixed));
  if (change) {
    float over_u = right[3] - left[3];
    f4 top = (f4)wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(wasm_i16x8_sub(below, above)));
    f4 end = (f4)wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(wasm_i16x8_sub(below, above)));
    float over_v = top[3] + (end[3] - top[3]) * (u - u0);
    *change = __builtin_fabsf(over_u * t->u_x + over_v * t->v_x) + __builtin_fabsf(over_u * t->u_y + over_v * t->v_y);
  }
  return left + (right - left) * (fu * (1 / 256.f));
}

/* The samples of `mask` that a hair's edge of this alpha covers. */
INLINE int covered(const Part *part, int mask, float alpha, float change, int aa) {
  if (alpha < .12f * 255) return 0;
  float sharp = at_most(at_least((alpha - part->cutoff * 255) / at_least(change, .01f) * .6f + .5f, 0), 1);
  if (!aa) return sharp >= .5f ? mask : 0;
  static const uint8_t SOME[5] = {0, 1 << 1, 1 << 1 | 1 << 2, 1 << 0 | 1 << 1 | 1 << 3, 15};
  return mask & SOME[(int)(sharp * 4 + .5f)];
}

INLINE uint32_t blend(uint32_t under, const float *over, float alpha) {
  uint32_t result = 0xFF000000;
  for (int c = 0; c < 3; c++) {
    float mixed = (float)(under >> (8 * c) & 255) * (1 - alpha) + over[c] * alpha;
    result |= (uint32_t)(mixed + .5f) << (8 * c);
  }
  return result;
}

/* Puts the surface's colour at (x, y) into the samples of `mask`, which lie at `index` and after it. */
INLINE void paint(const Scene *s, const Part *part, const Surface *t, float x, float y, int mask, uint32_t index,
                  f4 depth, uint32_t background, int aa) {
  float dx = x - t->x, dy = y - t->y, change;
  f4 shade = t->shade + t->shade_x * dx + t->shade_y * dy;
  f4 texel = {255, 255, 255, 255};
  if (t->texels) {
    texel = sample(t, t->u + t->u_x * dx + t->u_y * dy, t->v + t->v_x * dx + t->v_y * dy,
                   part->cover == CUT_OUT ? &change : 0);
    if (part->cover == CUT_OUT && !(mask = covered(part, mask, texel[3], change, aa))) return;
  }
  float display[3], alpha = texel[3] * (1 / 255.f);
  uint32_t colour = 0xFF000000;
  if (part->lighting == PAINTED) {
    for (int c = 0; c < 3; c++) display[c] = at_most(at_least(shade[c] * 255, 0), 255);
    alpha *= shade[3];
  } else {
    f4 light = (texel * texel * (1 / 65025.f) * shade + shade[3]) * s->tone_scale;
    i4 tone = (i4)wasm_i32x4_trunc_sat_f32x4((v128_t)light);
    tone = (i4)wasm_i32x4_min(wasm_i32x4_max((v128_t)tone, wasm_i32x4_const_splat(0)),
                              wasm_i32x4_splat(s->tones - 1));
    for (int c = 0; c < 3; c++) {
      uint32_t value = s->tone[tone[c]];
      colour |= value << (8 * c);
      if (part->cover == BLENDED) display[c] = value;
    }
  }
  if (part->cover != BLENDED) {
    if (aa) {
      static const u4 LANES = {1, 2, 4, 8};
      v128_t chosen = (v128_t)(((u4){mask, mask, mask, mask} & LANES) != 0);
      wasm_v128_store(s->colour + index, wasm_v128_bitselect(wasm_u32x4_splat(colour), wasm_v128_load(s->colour + index), chosen));
      wasm_v128_store(s->depth + index, wasm_v128_bitselect((v128_t)depth, wasm_v128_load(s->depth + index), chosen));
    } else {
      s->colour[index] = colour;
      s->depth[index] = depth[0];
    }
    return;
  }
  alpha = at_most(at_least(alpha, 0), 1);
  for (int i = 0; i < (aa ? 4 : 1); i++) {
    if (!(mask >> i & 1)) continue;
    if (s->depth[index + i] == 0) { /* the first thing here, so what is under it is the background */
      s->depth[index + i] = 1e-6f;
      s->colour[index + i] = background;
    }
    s->colour[index + i] = blend(s->colour[index + i], display, alpha);
  }
}

INLINE void carry(const Part *part, Surface *t, uint32_t a, uint32_t b, uint32_t c, const float *wa, const float *wb) {
  f4 from_a = part->shade[a] - part->shade[c], from_b = part->shade[b] - part->shade[c];
  t->shade = part->shade[c];
  t->shade_x = from_a * wa[0] + from_b * wb[0];
  t->shade_y = from_a * wa[1] + from_b * wb[1];
  t->texels = 0;
  const Texture *texture = part->texture;
  if (!texture) return;
  const float *ta = part->uv + 2 * a, *tb = part->uv + 2 * b, *tc = part->uv + 2 * c;
  float width = 1u << texture->width_log2, height = 1u << texture->height_log2;
  t->u = tc[0] * width;
  t->v = tc[1] * height;
  t->u_x = ((ta[0] - tc[0]) * wa[0] + (tb[0] - tc[0]) * wb[0]) * width;
  t->u_y = ((ta[0] - tc[0]) * wa[1] + (tb[0] - tc[0]) * wb[1]) * width;
  t->v_x = ((ta[1] - tc[1]) * wa[0] + (tb[1] - tc[1]) * wb[0]) * height;
  t->v_y = ((ta[1] - tc[1]) * wa[1] + (tb[1] - tc[1]) * wb[1]) * height;
  /* The level at which one texel is about one pixel: texels a pixel covers, halved per level and direction. */
  float texels = __builtin_fabsf(t->u_x * t->v_y - t->u_y * t->v_x);
  uint32_t level = 0;
  while (texels > 2 && level + 1 < texture->levels) texels *= .25f, level++;
  float scale = 1.f / (1u << level);
  t->u *= scale, t->u_x *= scale, t->u_y *= scale, t->v *= scale, t->v_x *= scale, t->v_y *= scale;
  t->u -= .5f, t->v -= .5f;
  t->texels = texture->level[level];
  t->u_mask = (1u << (texture->width_log2 > level ? texture->width_log2 - level : 0)) - 1;
  t->v_mask = (1u << (texture->height_log2 > level ? texture->height_log2 - level : 0)) - 1;
}

/* Where a row enters and leaves the triangle, in pixels: `value` is a corner's greatest weight at x = 0. */
INLINE void clip(float value, float slope, float minus_inverse, float *begin, float *end) {
  if (slope > 0) *begin = at_least(*begin, value * minus_inverse);
  else if (slope < 0) *end = at_most(*end, value * minus_inverse);
  else if (value < 0) *end = -1;
}

INLINE void triangle(const Scene *s, const Part *part, uint32_t a, uint32_t b, uint32_t c, int aa) {
  f4 pa = part->screen[a], pb = part->screen[b], pc = part->screen[c];
  float area = (pb[0] - pa[0]) * (pc[1] - pa[1]) - (pb[1] - pa[1]) * (pc[0] - pa[0]);
  if (!(area < 0) && !(part->two_sided && area > 0)) return;
  float left = at_most(pa[0], at_most(pb[0], pc[0])), right = at_least(pa[0], at_least(pb[0], pc[0]));
  float top = at_most(pa[1], at_most(pb[1], pc[1])), bottom = at_least(pa[1], at_least(pb[1], pc[1]));
  if (!(right > 0 && bottom > 0 && left < s->width && top < s->height)) return;
  if (!(pa[2] > 0 && pb[2] > 0 && pc[2] > 0)) return; /* behind the camera */
  if (right - left > 65536 || bottom - top > 65536) return;

  float inverse = 1 / area;
  float wa[2] = {(pb[1] - pc[1]) * inverse, (pc[0] - pb[0]) * inverse};
  float wb[2] = {(pc[1] - pa[1]) * inverse, (pa[0] - pc[0]) * inverse};
  float wc[2] = {-wa[0] - wb[0], -wa[1] - wb[1]};
  float z_x = (pa[2] - pc[2]) * wa[0] + (pb[2] - pc[2]) * wb[0], z_y = (pa[2] - pc[2]) * wa[1] + (pb[2] - pc[2]) * wb[1];

  int first_row = (int)at_least(__builtin_floorf(top), 0), last_row = (int)at_most(bottom, s->height - 1);
  float first = at_least(__builtin_floorf(left), 0), last = at_most(right, s->width - 1);
  const f4 lane_x = aa ? load((f4 *)SAMPLE_X) : (f4){.5f, 1.5f, 2.5f, 3.5f};
  const f4 lane_y = aa ? load((f4 *)SAMPLE_Y) : (f4){.5f, .5f, .5f, .5f};
  const float low = aa ? .125f : .5f, high = aa ? .875f : .5f;
  const int step = aa ? 1 : 4;
  float na = -1 / wa[0], nb = -1 / wb[0], nc = -1 / wc[0];
  float reach_a = at_least(wa[0] * low, wa[0] * high) + at_least(wa[1] * low, wa[1] * high) + 1e-5f;
  float reach_b = at_least(wb[0] * low, wb[0] * high) + at_least(wb[1] * low, wb[1] * high) + 1e-5f;
  float reach_c = at_least(wc[0] * low, wc[0] * high) + at_least(wc[1] * low, wc[1] * high) + 1e-5f;
  Surface surface;
  surface.x = pc[0];
  surface.y = pc[1];
  int carried = 0;

  for (int y = first_row; y <= last_row; y++) {
    float dy = y - pc[1];
    float row_a = -pc[0] * wa[0] + dy * wa[1], row_b = -pc[0] * wb[0] + dy * wb[1];
    float row_c = 1 - row_a - row_b, begin = first, end = last;
    clip(row_a + reach_a, wa[0], na, &begin, &end);
    clip(row_b + reach_b, wb[0], nb, &begin, &end);
    clip(row_c + reach_c, wc[0], nc, &begin, &end);
    int x = (int)__builtin_ceilf(begin), stop = (int)__builtin_floorf(end);
    if (x > stop) continue;
    Span *span = s->now + y;
    if (x < span->begin) span->begin = x;
    if (stop + step > span->end) span->end = stop + step;
    f4 fx = (float)x + lane_x, fy = dy + lane_y;
    f4 in_a = (fx - pc[0]) * wa[0] + fy * wa[1], in_b = (fx - pc[0]) * wb[0] + fy * wb[1];
    f4 z = pc[2] + (fx - pc[0]) * z_x + fy * z_y;
    uint32_t index = (y * s->stride + x) * (aa ? 4 : 1);
    for (; x <= stop; x += step, index += 4, in_a += wa[0] * step, in_b += wb[0] * step, z += z_x * step) {
      f4 held = (f4)wasm_v128_load(s->depth + index);
      i4 inside = (in_a >= 0) & (in_b >= 0) & (in_a + in_b <= 1) & (z > held);
      if (!any(inside)) continue;
      int mask = wasm_i32x4_bitmask((v128_t)inside);
      if (!carried) carry(part, &surface, a, b, c, wa, wb), carried = 1;
      const uint32_t *background = s->background + y * s->stride + x;
      if (aa) {
        paint(s, part, &surface, x + MIDDLE_X[mask], y + MIDDLE_Y[mask], mask, index, z, *background, 1);
      } else {
        for (int i = 0; i < 4 && x + i <= stop; i++)
          if (mask >> i & 1)
            paint(s, part, &surface, x + i + .5f, y + .5f, 1, index + i, (f4){z[i], 0, 0, 0}, background[i], 0);
      }
    }
  }
}

INLINE void draw(const Scene *s, int aa) {
  for (uint32_t k = 0; k < s->parts; k++) {
    const Part *part = s->part + k;
    const uint32_t *corner = part->indices;
    for (uint32_t i = 0; i < part->triangles; i++, corner += 3) triangle(s, part, corner[0], corner[1], corner[2], aa);
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

/* Samples to pixels wherever something is or was; leaves the depth clear for the next frame. */
INLINE void resolve(const Scene *s, int aa) {
  for (uint32_t y = 0; y < s->height; y++) {
    Span now = s->now[y], before = s->before[y];
    if (now.end > (int32_t)s->width) now.end = s->width;
    int begin = now.begin < before.begin ? now.begin : before.begin, end = now.end > before.end ? now.end : before.end;
    s->before[y] = now;
    s->now[y] = (Span){s->width, 0};
    for (int x = begin; x < end; x++) {
      uint32_t pixel = y * s->stride + x, colour = s->background[pixel];
      if (aa) {
        v128_t depth = wasm_v128_load(s->depth + 4 * pixel);
        v128_t drawn = wasm_f32x4_gt(depth, wasm_f32x4_const_splat(0));
        if (wasm_v128_any_true(drawn)) {
          v128_t samples = wasm_v128_load(s->colour + 4 * pixel);
          colour = averaged(wasm_v128_bitselect(samples, wasm_u32x4_splat(colour), drawn));
          wasm_v128_store(s->depth + 4 * pixel, wasm_f32x4_const_splat(0));
        }
      } else if (s->depth[pixel] > 0) {
        colour = s->colour[pixel];
        s->depth[pixel] = 0;
      }
      put(s->out + (y * s->width + x) * 3, colour);
    }
  }
}

/* Draws one frame of the scene into its `out`. */
EXPORT("draw") void frame(const Scene *s, int aa) {
  for (uint32_t k = 0; k < s->parts; k++) {
    shape(s->part + k, s->weights);
    place(s, s->part + k);
  }
  if (aa) draw(s, 1), resolve(s, 1);
  else draw(s, 0), resolve(s, 0);
}

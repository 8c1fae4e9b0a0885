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
  uint32_t parts, triangles, width, height, stride;
  float tone_scale, brightest; /* the last tone's index */
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
  f4 *lights;                  /* the same */
  Visible *visible;            /* one a triangle */
  uint32_t *sorted, *ends;     /* a triangle and band: part and triangle; a band: where its triangles end */
  Span *now, *before;          /* a band: the columns drawn on in this frame, and those in the last */
  uint8_t *out;                /* width * height * 3; probing: a triangle, all parts' in turn: 1 where seen */
} Scene;

extern uint8_t __heap_base;
EXPORT("heap") uint32_t heap(void) { return (uint32_t)(uintptr_t)&__heap_base; }

/* Of a and b; the second when the first is no number. Lane by lane, as a choice between scalars is a jump. */
INLINE f4 greater(f4 a, f4 b) { return (f4)wasm_f32x4_pmax((v128_t)b, (v128_t)a); }
INLINE f4 smaller(f4 a, f4 b) { return (f4)wasm_f32x4_pmin((v128_t)b, (v128_t)a); }
INLINE f4 all(float value) { return (f4)wasm_f32x4_splat(value); }
INLINE float at_least(float a, float b) { return greater(all(a), all(b))[0]; }
INLINE float at_most(float a, float b) { return smaller(all(a), all(b))[0]; }
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
static void place(const Scene *s, const Part *part) {
  const Four camera = same(s->camera), pivot = same(s->pivot);
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
    f4 screen[4] = {s->width * .5f - view.x * s->focal * nearness, s->height * .5f + view.y * s->focal * nearness,
                    nearness, all(0)};
    scatter(part->screen, vertices, screen);
    if (part->lighting == LIT) light(s, part, vertices, turned(s, (Four){first[3], second[0], second[1]}, share), view);
  }
}

/* -- pixels ------------------------------------------------------------------------------------------ */

/* Where in a pixel the four samples lie, and the middle of every set of them. */
static const float SAMPLE_X[4] = {.375f, .875f, .125f, .625f}, SAMPLE_Y[4] = {.125f, .375f, .625f, .875f};
static float MIDDLE_X[16], MIDDLE_Y[16];
/* The bytes of every set of four lanes, one lane after another. */
static uint8_t CHOSEN[16][16];

EXPORT("start") void start(void) {
  for (int mask = 1; mask < 16; mask++) {
    float x = 0, y = 0;
    int count = 0;
    for (int i = 0; i < 4; i++) {
      if (!(mask >> i & 1)) continue;
      for (int k = 0; k < 4; k++) CHOSEN[mask][4 * count + k] = 4 * i + k;
      x += SAMPLE_X[i], y += SAMPLE_Y[i], count++;
    }
    MIDDLE_X[mask] = x / count;
    MIDDLE_Y[mask] = y / count;
  }
}

/* A texel's 255, twice in 128ths. */
static const float FULL = 255 * 128 * 128;

/* What a triangle carries, as planes over the picture. */
typedef struct {
  f4 shade, shade_x, shade_y;
  float x, y, z, z_x, z_y, alpha;         /* the planes begin at the third corner */
  f4 uv, uv_x, uv_y;                      /* in 128ths of `texels`' texels */
  f4 along_u, along_v;                    /* the same slopes: of u along x and y, of v along x and y */
  const uint32_t *texels;
  uint32_t u_mask, v_mask;
} Surface;

/* Bilinear: the colour as square roots of light and alpha, all in 0..FULL; and how fast alpha changes here. */
INLINE f4 sample(const Surface *t, f4 uv, f4 *change) {
  i4 at = (i4)(uv + WHOLE); /* the constant's own bits are above those that are used */
  uint32_t column = at[0] >> 7 & t->u_mask, row = at[1] >> 7 & t->v_mask;
  int fu = at[0] & 127, fv = at[1] & 127;
  const uint32_t *texel = t->texels + row * (t->u_mask + 2) + column;
  v128_t above = wasm_u16x8_load8x8(texel), below = wasm_u16x8_load8x8(texel + t->u_mask + 2);
  v128_t down = wasm_i16x8_sub(below, above), across = wasm_i32x4_splat(128 + fu * 65535); /* 128 - fu, fu */
  v128_t mixed = wasm_i16x8_add(wasm_i16x8_shl(above, 7), wasm_i16x8_mul(down, wasm_i16x8_splat(fv)));
  if (change) {
    float over_u = wasm_i16x8_extract_lane(mixed, 7) - wasm_i16x8_extract_lane(mixed, 3);
    down = wasm_i16x8_shuffle(down, down, 0, 4, 1, 5, 2, 6, 3, 7);
    float over_v = wasm_i32x4_extract_lane(wasm_i32x4_dot_i16x8(down, across), 3);
    f4 along = (f4)wasm_f32x4_abs((v128_t)(t->along_u * over_u + t->along_v * over_v));
    *change = along + (f4)wasm_i32x4_shuffle((v128_t)along, (v128_t)along, 1, 0, 3, 2);
  }
  mixed = wasm_i16x8_shuffle(mixed, mixed, 0, 4, 1, 5, 2, 6, 3, 7);
  return (f4)wasm_f32x4_convert_i32x4(wasm_i32x4_dot_i16x8(mixed, across));
}

/* The samples of `mask` that a hair's edge of this alpha, in the last lane, covers. */
INLINE int covered(float cutoff, int mask, f4 texel, f4 change, int aa) {
  static const uint8_t SOME[5] = {0, 1 << 1, 1 << 1 | 1 << 2, 1 << 0 | 1 << 1 | 1 << 3, 15};
  f4 sharp = smaller(greater((texel - cutoff) * 2.4f / greater(change, all(.01f / 255 * FULL)) + 2, all(0)), all(4));
  sharp = (f4)((i4)greater(sharp, (f4)((texel > .996f * FULL) & (i4)all(4))) & (texel >= .12f * FULL));
  return aa ? mask & SOME[whole(sharp)[3]] : mask & -(wasm_i32x4_bitmask((v128_t)(sharp >= 2)) >> 3);
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

/* The light at each hit of a triangle, as indices of tones, and what it lets through; returns how many of the
   hits remain. `cover` and `aa` are constants. */
INLINE uint32_t look(const Scene *s, const Part *part, const Surface *surface, uint32_t count, int top, int cover,
                     int aa) {
  const Surface t = *surface;
  const float cutoff = part->cutoff * FULL;
  const float left = t.x - (aa ? 0 : .5f), upper = t.y - top - (aa ? 0 : .5f);
  Hit *hits = s->hits;
  f4 *lights = s->lights;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    Hit hit = hits[i];
    int mask = hit & 15;
    float dx = (float)(int)(hit >> 9) - left, dy = (float)(int)(hit >> 4 & 31) - upper;
    if (aa) dx += MIDDLE_X[mask], dy += MIDDLE_Y[mask];
    f4 shade = t.shade + t.shade_x * dx + t.shade_y * dy, texel = all(FULL), change = all(1);
    if (t.texels) texel = sample(&t, t.uv + t.uv_x * dx + t.uv_y * dy, cover == CUT_OUT ? &change : 0);
    f4 light = texel * texel * shade + shade[3];
    if (cover == BLENDED) {
      int painted = part->lighting == PAINTED;
      if (painted) light = shade;
      light[3] = at_most(at_least(texel[3] * (1 / FULL) * t.alpha * (painted ? shade[3] : 1), 0), 1);
    }
    lights[kept] = light;
    if (cover == CUT_OUT) {
      if (t.texels) mask = covered(cutoff, mask, texel, change, aa);
      hits[kept] = (hit & ~15) | mask;
      kept += mask != 0;
    } else {
      kept++;
    }
  }
  return kept;
}

INLINE uint32_t toned(const Scene *s, f4 light) {
  light = (f4)wasm_f32x4_pmax(wasm_f32x4_const_splat(0), (v128_t)light); /* it may be no number */
  u4 step = (u4)whole((f4)wasm_f32x4_pmin((v128_t)light, wasm_f32x4_splat(s->brightest)));
  return s->tone[step[0]] | s->tone[step[1]] << 8 | s->tone[step[2]] << 16 | 0xFF000000;
}

/* Colours what was hit; `cover` and `mode` are constants. */
INLINE void paint(const Scene *s, const Part *part, const Surface *surface, uint32_t count, int top, uint32_t number,
                  int cover, int mode) {
  const int aa = mode != PLAIN;
  const Surface t = *surface;
  const Hit *hits = s->hits;
  const f4 *lights = s->lights;
  const uint32_t stride = s->stride;
  float *depths = s->depth;
  uint32_t *colours = s->colour;
  for (uint32_t i = 0; i < count; i++) {
    int x = hits[i] >> 9, row = hits[i] >> 4 & 31, mask = hits[i] & 15;
    uint32_t index = (row * stride + x) * (aa ? 4 : 1);
    f4 light = load(lights + i);
    if (cover == BLENDED) {
      if (part->lighting != PAINTED) {
        uint32_t shown = toned(s, light);
        light = (f4){shown & 255, shown >> 8 & 255, shown >> 16 & 255, light[3]};
      }
      for (int k = 0; k < (aa ? 4 : 1); k++) {
        if (!(mask >> k & 1)) continue;
        if (depths[index + k] == 0) { /* the first thing here, so what is under it is the background */
          depths[index + k] = 1e-6f;
          colours[index + k] = s->background[(top + row) * stride + x];
        }
        colours[index + k] = blend(colours[index + k], light, light[3]);
      }
      continue;
    }
    uint32_t colour = mode == PROBE ? number : toned(s, light);
    float dx = (float)x - t.x, dy = (float)(top + row) - t.y;
    if (aa) {
      put_where(colours + index, wasm_u32x4_splat(colour), lanes(mask));
      f4 from_x = dx + load((f4 *)SAMPLE_X), from_y = dy + load((f4 *)SAMPLE_Y);
      if (cover == CUT_OUT) put_where(depths + index, (v128_t)(t.z + from_x * t.z_x + from_y * t.z_y), lanes(mask));
    } else {
      colours[index] = colour;
      if (cover == CUT_OUT) depths[index] = t.z + (dx + .5f) * t.z_x + (dy + .5f) * t.z_y;
    }
  }
}

INLINE void shade(const Scene *s, const Part *part, const Surface *surface, uint32_t count, int top, uint32_t number,
                  int cover, int mode) {
  paint(s, part, surface, look(s, part, surface, count, top, cover, mode != PLAIN), top, number, cover, mode);
}

static void carry(const Scene *s, const Part *part, Surface *t, uint32_t a, uint32_t b, uint32_t c, const float *wa,
                  const float *wb) {
  f4 from_a = part->shade[a] - part->shade[c], from_b = part->shade[b] - part->shade[c];
  float light = s->tone_scale / (FULL * FULL); /* times the square of a texel, which is a root: an index of tones */
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
  union { int32_t bits; float value; } scale = {(127 + 7 - level) << 23};
  t->uv = (at - (f4)wasm_f32x4_floor((v128_t)at)) * size * scale.value - 64;
  t->uv_x *= scale.value, t->uv_y *= scale.value;
  t->along_u = (f4){t->uv_x[0], t->uv_y[0], t->uv_x[0], t->uv_y[0]};
  t->along_v = (f4){t->uv_x[1], t->uv_y[1], t->uv_x[1], t->uv_y[1]};
  t->texels = texture->level[level];
  t->u_mask = (1u << ((int)texture->width_log2 > level ? (int)texture->width_log2 - level : 0)) - 1;
  t->v_mask = (1u << ((int)texture->height_log2 > level ? (int)texture->height_log2 - level : 0)) - 1;
}

/* The picture is drawn in bands of so many rows, whose samples fit into a processor's nearest memory. */
enum { BAND = 32 };
/* Pixels up to which every one of a triangle's bounding box is tested. */
enum { NARROW = 8 };
static const i4 LANES = {0, 1, 2, 3};

/* Tests the pixels from `x` to `stop` of a band's row, where a triangle's corner weights and its nearness begin like
   this; returns the end of the hits. */
INLINE Hit *test(const Scene *s, Hit *hit, int row, int x, int stop, float a_x, float b_x, float z_x, f4 in_a, f4 in_b,
                 f4 z, int opaque, int aa) {
  const int step = aa ? 1 : 4;
  float *depth = s->depth + (row * s->stride + x) * (aa ? 4 : 1);
  Hit here = x << 9 | row << 4;
  for (int left = stop - x; left >= 0; left -= step) {
    f4 there = (f4)wasm_v128_load(depth);
    i4 inside = (in_a >= 0) & (in_b >= 0) & (in_a + in_b <= 1) & (z > there);
    if (!aa) inside &= left >= LANES;
    int mask = wasm_i32x4_bitmask((v128_t)inside);
    if (opaque) wasm_v128_store(depth, wasm_v128_bitselect((v128_t)z, (v128_t)there, (v128_t)inside));
    if (aa) {
      *hit = here | mask;
      hit += mask != 0;
    } else {
      wasm_v128_store(hit, wasm_i8x16_swizzle((v128_t)((u4)LANES * 512 + (here | 1)), wasm_v128_load(CHOSEN[mask])));
      hit += __builtin_popcount(mask);
    }
    depth += 4, here += step << 9, in_a += a_x * step, in_b += b_x * step, z += z_x * step;
  }
  return hit;
}

/* One triangle within the rows from `top` to before `bottom`, of which `depth` and `colour` hold the samples. */
INLINE void triangle(const Scene *s, const Part *part, uint32_t number, uint32_t first_number, int top, int bottom,
                     int mode) {
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

  f4 least = smaller(pa, smaller(pb, pc)), most = greater(pa, greater(pb, pc));
  i4 low_corner = whole((f4)wasm_f32x4_floor((v128_t)greater(least, (f4){0, top, 0, 0})));
  i4 high_corner = whole((f4)wasm_f32x4_floor((v128_t)smaller(most, (f4){s->width - 1, bottom - 1, 1, 1})));
  const int first_row = low_corner[1], last_row = high_corner[1], first = low_corner[0], last = high_corner[0];
  const f4 lane_x = aa ? load((f4 *)SAMPLE_X) : (f4){.5f, 1.5f, 2.5f, 3.5f};
  const f4 lane_y = aa ? load((f4 *)SAMPLE_Y) : (f4){.5f, .5f, .5f, .5f};
  const float low = aa ? .125f : .5f, high = aa ? .875f : .5f;
  const int opaque = part->cover == OPAQUE;
  /* The corners' weights at x = 0 of the first row, where they are greatest within a pixel: a row begins where the
     rising ones become positive and ends where the falling ones cease to be. The fourth keeps to the picture. */
  f4 slope = {wa[0], wb[0], wc[0], 1}, down = {wa[1], wb[1], wc[1], 0};
  f4 from_y = (float)first_row - (f4){pc[1], pc[1], pc[1], 0};
  f4 reach = greater(slope * low, slope * high) + greater(down * low, down * high) + 1e-5f;
  f4 value = reach - pc[0] * slope + from_y * down + (f4){0, 0, 1, 0};
  f4 crossing = 1 / slope;
  const f4 begins = {-1e9f, -1e9f, -1e9f, first}, ends = {-1e9f, -1e9f, -1e9f, -last};
  const v128_t rising = wasm_v128_and((v128_t)(slope > 0), wasm_i32x4_const(-1, -1, -1, 0));
  const v128_t falling = (v128_t)(slope < 0);
  f4 in_a_row = (lane_x - pc[0]) * wa[0] + ((float)first_row - pc[1] + lane_y) * wa[1];
  f4 in_b_row = (lane_x - pc[0]) * wb[0] + ((float)first_row - pc[1] + lane_y) * wb[1];
  f4 z_row = surface.z + (lane_x - pc[0]) * surface.z_x + ((float)first_row - pc[1] + lane_y) * surface.z_y;
  Hit *hit = s->hits;
  if (last - first < NARROW) {
    in_a_row += first * wa[0], in_b_row += first * wb[0], z_row += first * surface.z_x;
    for (int y = first_row; y <= last_row; y++, in_a_row += wa[1], in_b_row += wb[1], z_row += surface.z_y)
      hit = test(s, hit, y - top, first, last, wa[0], wb[0], surface.z_x, in_a_row, in_b_row, z_row, opaque, aa);
  } else {
    f4 at = -value * crossing;
    for (int y = first_row; y <= last_row; y++) {
      v128_t begin = wasm_v128_bitselect((v128_t)at, (v128_t)begins, rising);
      v128_t end = wasm_v128_bitselect((v128_t)-at, (v128_t)ends, falling);
      f4 both = greater((f4)wasm_i32x4_shuffle(begin, end, 0, 1, 4, 5), (f4)wasm_i32x4_shuffle(begin, end, 2, 3, 6, 7));
      both = greater(both, (f4)wasm_i32x4_shuffle((v128_t)both, (v128_t)both, 1, 0, 3, 2));
      both = smaller(both + .45f, all(8192)) + WHOLE;
      i4 edges = (i4)both - (i4)all(WHOLE);
      f4 x = (f4)wasm_i32x4_shuffle((v128_t)both, (v128_t)both, 0, 0, 0, 0) - WHOLE;
      hit = test(s, hit, y - top, edges[0], -edges[2], wa[0], wb[0], surface.z_x, in_a_row + x * wa[0],
                 in_b_row + x * wb[0], z_row + x * surface.z_x, opaque, aa);
      at -= down * crossing, in_a_row += wa[1], in_b_row += wb[1], z_row += surface.z_y;
    }
  }
  uint32_t hits = hit - s->hits;
  if (!hits) return;
  Span *span = s->now + top / BAND;
  if (first < span->begin) span->begin = first;
  if (last >= span->end) span->end = last + 1;
  carry(s, part, &surface, a, b, c, wa, wb);
  if (part->cover == OPAQUE) shade(s, part, &surface, hits, top, first_number + number, OPAQUE, mode);
  else if (part->cover == CUT_OUT) shade(s, part, &surface, hits, top, first_number + number, CUT_OUT, mode);
  else if (mode != PROBE) shade(s, part, &surface, hits, top, first_number + number, BLENDED, mode);
}

/* -- bands ------------------------------------------------------------------------------------------- */

/* The bands in which a triangle may be seen; 0 when nowhere. */
INLINE int bands_of(const Scene *s, const Part *part, const uint32_t *corner, int *first, int *last) {
  f4 pa = part->screen[corner[0]], pb = part->screen[corner[1]], pc = part->screen[corner[2]];
  float area = (pb[0] - pa[0]) * (pc[1] - pa[1]) - (pb[1] - pa[1]) * (pc[0] - pa[0]);
  if (!(area < -1e-9f) && !(part->two_sided && area > 1e-9f)) return 0;
  f4 least = smaller(pa, smaller(pb, pc)), greatest = greater(pa, greater(pb, pc));
  i4 out = (least >= (f4){s->width, s->height, 3e38f, 0}) | ~(greatest > 0) | ~(greatest - least < 65536) |
           ~(least > (f4){-65536, -65536, 0, 0});
  if (wasm_i32x4_bitmask((v128_t)out) & 7) return 0; /* beside the picture, behind the camera, or of no use */
  *first = whole((f4)wasm_f32x4_floor((v128_t)greater(least, all(0))))[1] / BAND;
  *last = whole((f4)wasm_f32x4_floor((v128_t)smaller(greatest, all(s->height - 1))))[1] / BAND;
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

/* Two pixels' samples, added up. */
INLINE v128_t added(v128_t first, v128_t second) {
  v128_t a = wasm_i16x8_add(wasm_u16x8_extend_low_u8x16(first), wasm_u16x8_extend_high_u8x16(first));
  v128_t b = wasm_i16x8_add(wasm_u16x8_extend_low_u8x16(second), wasm_u16x8_extend_high_u8x16(second));
  return wasm_i16x8_add(wasm_i64x2_shuffle(a, b, 0, 2), wasm_i64x2_shuffle(a, b, 1, 3));
}

/* Four pixels before what is behind them; leaves the depth clear for the next band. */
INLINE v128_t shown(float *depth, const uint32_t *colour, v128_t behind, int aa) {
  const v128_t nothing = wasm_f32x4_const_splat(0);
  v128_t drawn[4], samples[4];
  for (int i = 0; i < (aa ? 4 : 1); i++) {
    drawn[i] = wasm_f32x4_gt(wasm_v128_load(depth + 4 * i), nothing);
    samples[i] = wasm_v128_load(colour + 4 * i);
    wasm_v128_store(depth + 4 * i, nothing);
  }
  if (!aa) return wasm_v128_bitselect(samples[0], behind, drawn[0]);
  v128_t any = wasm_v128_or(wasm_v128_or(drawn[0], drawn[1]), wasm_v128_or(drawn[2], drawn[3]));
  if (!wasm_v128_any_true(any)) return behind;
  samples[0] = wasm_v128_bitselect(samples[0], wasm_i32x4_shuffle(behind, behind, 0, 0, 0, 0), drawn[0]);
  samples[1] = wasm_v128_bitselect(samples[1], wasm_i32x4_shuffle(behind, behind, 1, 1, 1, 1), drawn[1]);
  samples[2] = wasm_v128_bitselect(samples[2], wasm_i32x4_shuffle(behind, behind, 2, 2, 2, 2), drawn[2]);
  samples[3] = wasm_v128_bitselect(samples[3], wasm_i32x4_shuffle(behind, behind, 3, 3, 3, 3), drawn[3]);
  const v128_t half = wasm_i16x8_const_splat(2);
  return wasm_u8x16_narrow_i16x8(wasm_u16x8_shr(wasm_i16x8_add(added(samples[0], samples[1]), half), 2),
                                 wasm_u16x8_shr(wasm_i16x8_add(added(samples[2], samples[3]), half), 2));
}

/* Samples to pixels wherever something is or was, four at a time. */
INLINE void resolve(const Scene *s, uint32_t band, int aa) {
  uint32_t top = band * BAND, bottom = top + BAND < s->height ? top + BAND : s->height;
  const Span now = s->now[band], before = s->before[band];
  const int begin = (now.begin < before.begin ? now.begin : before.begin) & ~3;
  const int end = now.end > before.end ? now.end : before.end;
  s->before[band] = now;
  s->now[band] = (Span){s->width, 0};
  for (uint32_t y = top; y < bottom; y++) {
    const uint32_t *background = s->background + y * s->stride;
    uint8_t *out = s->out + y * s->width * 3;
    for (int x = begin; x < end; x += 4) {
      uint32_t pixel = ((y - top) * s->stride + x) * (aa ? 4 : 1);
      v128_t four = shown(s->depth + pixel, s->colour + pixel, wasm_v128_load(background + x), aa);
      four = wasm_i8x16_shuffle(four, four, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15);
      if (x + 4 < end && x + 6 <= (int)s->width) { /* what is written beyond them is written anew */
        wasm_v128_store(out + x * 3, four);
      } else {
        int count = 3 * ((int)s->width - x < 4 ? (int)s->width - x : 4);
        for (int i = 0; i < count; i++) out[x * 3 + i] = ((uint8_t *)&four)[i];
      }
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

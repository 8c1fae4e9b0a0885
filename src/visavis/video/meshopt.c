/* Unpacks the meshes of EXT_meshopt_compression: its vertex and index codecs (version 0 and 1 of the latter) and
   its two filters for attributes. Every read and write is bounded; a function that returns 0 met broken data. */

#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))

enum { TAIL = 32, GROUP = 16, BLOCK_BYTES = 8192, BLOCK_VERTICES = 256 };

/* One group: 16 values of 0, 2, 4 or 8 bits; a value of all ones is followed by the true byte at the end. */
static const uint8_t *group(const uint8_t *data, const uint8_t *end, int bits, uint8_t *out) {
  if (bits == 0) {
    for (int i = 0; i < GROUP; i++) out[i] = 0;
    return data;
  }
  if (end - data < 2 * bits + (bits < 8 ? GROUP : 0)) return 0;
  if (bits == 8) {
    for (int i = 0; i < GROUP; i++) out[i] = data[i];
    return data + GROUP;
  }
  const uint8_t *rest = data + 2 * bits;
  int escape = (1 << bits) - 1, per_byte = 8 / bits;
  for (int i = 0; i < GROUP; i++) {
    int value = data[i / per_byte] >> (8 - bits - i % per_byte * bits) & escape;
    out[i] = value == escape ? *rest++ : value;
  }
  return rest;
}

/* `count` vertices of `stride` bytes into `out`; both as the bufferView says. */
EXPORT("vertices") int vertices(uint8_t *out, uint32_t count, uint32_t stride, const uint8_t *data, uint32_t size) {
  static uint8_t deltas[BLOCK_VERTICES], last[256];
  const uint8_t *end = data + size;
  uint32_t tail = stride < TAIL ? TAIL : stride;
  if (stride == 0 || stride > 256 || stride % 4 || size < 1 + tail || *data++ != 0xa0) return 0;
  for (uint32_t k = 0; k < stride; k++) last[k] = end[(int32_t)k - (int32_t)stride];
  uint32_t block = BLOCK_BYTES / stride / GROUP * GROUP;
  if (block > BLOCK_VERTICES) block = BLOCK_VERTICES;
  for (uint32_t first = 0; first < count; first += block) {
    uint32_t here = count - first < block ? count - first : block, groups = (here + GROUP - 1) / GROUP;
    for (uint32_t k = 0; k < stride; k++) {
      const uint8_t *header = data;
      if ((uint32_t)(end - data) < (groups + 3) / 4) return 0;
      data += (groups + 3) / 4;
      for (uint32_t g = 0; g < groups; g++) {
        static const int BITS[4] = {0, 2, 4, 8};
        data = group(data, end, BITS[header[g / 4] >> g % 4 * 2 & 3], deltas + g * GROUP);
        if (!data) return 0;
      }
      for (uint32_t i = 0; i < here; i++) {
        last[k] += (uint8_t)(-(deltas[i] & 1) ^ (deltas[i] >> 1));
        out[(first + i) * stride + k] = last[k];
      }
    }
  }
  return (uint32_t)(end - data) == tail;
}

typedef struct {
  const uint8_t *data, *end;
  uint32_t last;
  int broken;
} Bytes;

static uint32_t number(Bytes *b) {
  uint32_t value = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    if (b->data >= b->end) break;
    uint8_t byte = *b->data++;
    value |= (uint32_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  b->broken = 1;
  return 0;
}

static uint32_t step(uint32_t value) { return (value >> 1) ^ -(value & 1); }
static uint32_t index_of(Bytes *b) { return b->last += step(number(b)); }

typedef struct {
  uint32_t edges[16][2], corners[16], edge, corner, next;
} Recent;

static void push_corner(Recent *r, uint32_t v, int keep) {
  r->corners[r->corner] = v;
  r->corner = (r->corner + keep) & 15;
}
static void push_edge(Recent *r, uint32_t a, uint32_t b) {
  r->edges[r->edge][0] = a;
  r->edges[r->edge][1] = b;
  r->edge = (r->edge + 1) & 15;
}
static uint32_t corner(Recent *r, uint32_t back) { return r->corners[(r->corner - back) & 15]; }

/* `count` indices of triangles. */
EXPORT("triangles") int triangles(uint32_t *out, uint32_t count, const uint8_t *data, uint32_t size) {
  if (count % 3 || size < 1 + count / 3 + 16 || (data[0] & 0xf0) != 0xe0 || (data[0] & 15) > 1) return 0;
  uint32_t kept = (data[0] & 15) ? 13 : 15;
  const uint8_t *code = data + 1, *table = data + size - 16;
  Bytes rest = {code + count / 3, table, 0, 0};
  Recent r;
  __builtin_memset(&r, 255, sizeof r);
  r.edge = r.corner = r.next = 0;
  for (uint32_t i = 0; i < count; i += 3) {
    uint32_t what = *code++, a, b, c;
    if (what < 0xf0) { /* shares an edge with a recent triangle */
      uint32_t *edge = r.edges[(r.edge - 1 - (what >> 4)) & 15], third = what & 15;
      a = edge[0], b = edge[1];
      if (third < kept) {
        c = third == 0 ? r.next++ : corner(&r, 1 + third);
        push_corner(&r, c, third == 0);
      } else {
        c = rest.last = third != 15 ? rest.last + (third - (third ^ 3)) : index_of(&rest);
        push_corner(&r, c, 1);
      }
      push_edge(&r, c, b);
      push_edge(&r, a, c);
    } else {
      uint32_t first = 0, pair;
      if (what < 0xfe) {
        pair = table[what & 15];
      } else {
        if (rest.data >= rest.end) return 0;
        pair = *rest.data++;
        first = what == 0xfe ? 0 : 15;
        if (pair == 0) r.next = 0;
      }
      uint32_t second = pair >> 4, third = pair & 15;
      int explicit = what >= 0xfe;
      a = first == 0 ? r.next++ : 0;
      b = second == 0 ? r.next++ : corner(&r, second);
      c = third == 0 ? r.next++ : corner(&r, third);
      if (explicit && first == 15) a = index_of(&rest);
      if (explicit && second == 15) b = index_of(&rest);
      if (explicit && third == 15) c = index_of(&rest);
      push_corner(&r, a, 1);
      push_corner(&r, b, second == 0 || (explicit && second == 15));
      push_corner(&r, c, third == 0 || (explicit && third == 15));
      push_edge(&r, b, a);
      push_edge(&r, c, b);
      push_edge(&r, a, c);
    }
    if (rest.broken) return 0;
    out[i] = a, out[i + 1] = b, out[i + 2] = c;
  }
  return rest.data == rest.end;
}

/* `count` indices in any order. */
EXPORT("sequence") int sequence(uint32_t *out, uint32_t count, const uint8_t *data, uint32_t size) {
  if (size < 1 + count + 4 || (data[0] & 0xf0) != 0xd0 || (data[0] & 15) > 1) return 0;
  Bytes rest = {data + 1, data + size - 4, 0, 0};
  uint32_t last[2] = {0, 0};
  for (uint32_t i = 0; i < count; i++) {
    uint32_t value = number(&rest), line = value & 1;
    out[i] = last[line] += step(value >> 1);
  }
  return !rest.broken && rest.data == rest.end;
}

/* Unit vectors from two coordinates of an octahedron: 4 values each, of 1 or 2 bytes. */
EXPORT("octahedral") void octahedral(void *data, uint32_t count, uint32_t bytes) {
  float most = bytes == 1 ? 127 : 32767;
  for (uint32_t i = 0; i < count; i++) {
    int8_t *small = (int8_t *)data + 4 * i;
    int16_t *large = (int16_t *)data + 4 * i;
    float x = bytes == 1 ? small[0] : large[0], y = bytes == 1 ? small[1] : large[1];
    float z = (float)(bytes == 1 ? small[2] : large[2]) - __builtin_fabsf(x) - __builtin_fabsf(y);
    float under = z < 0 ? z : 0;
    x += x >= 0 ? under : -under;
    y += y >= 0 ? under : -under;
    float scale = most / __builtin_sqrtf(x * x + y * y + z * z + 1e-12f);
    float v[3] = {x * scale, y * scale, z * scale};
    for (int c = 0; c < 3; c++) {
      int32_t value = (int32_t)(v[c] + (v[c] >= 0 ? .5f : -.5f));
      if (bytes == 1) small[c] = value;
      else large[c] = value;
    }
  }
}

/* Floats from a signed exponent of 8 bits and a signed mantissa of 24. */
EXPORT("exponential") void exponential(uint32_t *data, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    int32_t exponent = (int32_t)data[i] >> 24, mantissa = (int32_t)(data[i] << 8) >> 8;
    union { uint32_t bits; float value; } power = {.bits = (uint32_t)(exponent + 127) << 23};
    power.value *= mantissa;
    data[i] = power.bits;
  }
}

// What the scalar path computes, as hashes that are the same on every machine and for every compiler:
//   portable_test    a line a subject; where a result depends on batch or threads, exit 1
// All inputs are whole numbers of a generator, scaled by powers of two or by single multiplications.
#include <cstdio>
#include <cstring>
#include <vector>

#include "../include/paceline.h"
#include "attention_case.h"
#include "streams_case.h"
#include "weights.h"

namespace {

// FNV-1a over the bits of floats.
class Hash {
 public:
  void add(const std::vector<float>& list) {
    for (const float x : list) {
      uint32_t bits;
      std::memcpy(&bits, &x, 4);
      for (int i = 0; i < 4; i++) state_ = (state_ ^ (bits >> 8 * i & 255)) * 0x100000001b3ull;
    }
  }
  void print(const char* subject) const { std::printf("%s %016llx\n", subject, static_cast<unsigned long long>(state_)); }

 private:
  uint64_t state_ = 0xcbf29ce484222325ull;
};

std::vector<float> normals(int64_t count) {
  std::vector<float> list(static_cast<size_t>(count));
  for (auto& x : list) x = normal();
  return list;
}

// Products of every type for 1, 3 and 20 rows, and behind the activation functions and a norm; rows of the matrix.
void products(const Type& t) {
  random_state = 1000 + static_cast<uint64_t>(t.id);
  const int64_t k = t.block <= 32 ? 608 : 768, n = 37, most = 20;
  Hash hash;
  Memory panels[] = {Memory(pl_panel_bytes(t.id, k, n)), Memory(pl_panel_bytes(t.id, k, n))};
  for (const Memory& own : panels) {
    const auto blocks = random_rows(t, k, n);
    pl_repack(t.id, blocks.data(), own.data, k, n, 0, n, 1);
  }
  const auto x = normals(k * most), norm = normals(k), residual = normals(n * most);
  for (const int64_t rows : {int64_t{1}, int64_t{3}, most}) {
    for (int epilogue = 0; epilogue < 3; epilogue++) {
      Memory act(pl_act_bytes(k, rows) + 64);
      std::vector<float> y(static_cast<size_t>(n * rows));
      pl_linear l{};
      l.x = address(x.data()), l.x_stride = k * 4, l.k = k, l.rows = rows, l.count = epilogue ? 2 : 1;
      l.epilogue = epilogue, l.residual = address(residual.data()), l.residual_stride = n * 4;
      l.panels0 = address(panels[0].data), l.type0 = t.id, l.n0 = n, l.dst0 = address(y.data()), l.stride0 = n * 4;
      l.panels1 = address(panels[1].data), l.type1 = t.id, l.n1 = n;
      if (pl_needs_quantized(t.id)) {
        pl_quantize q{};
        q.x = l.x, q.x_stride = l.x_stride, q.out = address(act.data), q.k = k, q.rows = rows;
        if (epilogue) q.norm_weight = address(norm.data()), q.eps = 1e-6;
        run(pl_op_quantize, &q, 2);
        l.act = q.out;
      }
      run(pl_op_linear, &l, 2);
      hash.add(y);
    }
  }
  std::vector<float> rows(static_cast<size_t>(k * n));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; i++) ids.push_back(static_cast<int32_t>(i));
  pl_get_rows g{};
  g.panels = address(panels[0].data), g.type = t.id, g.k = k, g.n = n, g.ids = address(ids.data());
  g.count = n, g.dst = address(rows.data()), g.stride = k * 4;
  run(pl_op_get_rows, &g, 1);
  hash.add(rows);
  hash.print(t.name);
}

// Norms of rows of any length.
void norms() {
  random_state = 7;
  Hash hash;
  for (const int64_t k : {int64_t{1}, int64_t{77}, int64_t{1024}}) {
    const auto x = normals(3 * k), weight = normals(k), residual = normals(3 * k);
    std::vector<float> y(x.size());
    pl_rms_norm p{};
    p.x = address(x.data()), p.x_stride = k * 4, p.k = k, p.rows = 3, p.weight = address(weight.data()), p.eps = 1e-5;
    p.residual = address(residual.data()), p.residual_stride = k * 4, p.dst = address(y.data());
    run(pl_op_rms_norm, &p, 2);
    hash.add(y);
  }
  hash.print("norms");
}

// Activations of any number of elements, in parts.
void gates() {
  random_state = 11;
  Hash hash;
  for (const int64_t count : {int64_t{1}, int64_t{77}, int64_t{1000}})
    for (int64_t kind = 1; kind <= 5; ++kind) {
      auto a = normals(count);
      const auto b = normals(count);
      for (auto& x : a) x *= 20;
      std::vector<float> y(a.size());
      pl_gate p{};
      p.a = address(a.data()), p.b = kind == 4 ? 0 : address(b.data()), p.dst = address(y.data());
      p.count = count, p.kind = kind, p.cap = 30;
      run(pl_op_gate, &p, 3);
      hash.add(y);
    }
  hash.print("gates");
}

// Tables of angles near and far, plain, scaled, with factors and YaRN.
void angles() {
  random_state = 8;
  Hash hash;
  std::vector<int32_t> positions{0, 1, 2, 77, 4095, 32767, 131071, 1048575, 2147483647};
  for (const int64_t dims : {int64_t{64}, int64_t{96}, int64_t{128}})
    for (const double base : {10000.0, 500000.0, 1e6})
      for (const double yarn : {0.0, 1.0}) {
        std::vector<float> factors(static_cast<size_t>(dims / 2)), out(positions.size() * static_cast<size_t>(dims));
        for (auto& f : factors) f = 1.0f + static_cast<float>(below(64)) / 8.0f;
        pl_rope_table p{};
        p.positions = address(positions.data()), p.rows = static_cast<int64_t>(positions.size()), p.dims = dims;
        p.base = base, p.scale = yarn != 0 ? 0.25 : 1, p.yarn = yarn, p.low = 9, p.high = 23, p.magnitude = 1;
        p.factors = base == 1e6 ? 0 : address(factors.data()), p.out = address(out.data());
        run(pl_op_rope_table, &p, 2);
        hash.add(out);
      }
  hash.print("angles");
}

// Heads that are normalised, rotated and stored, then attention over caches of one type.
void attention(int type, const char* subject) {
  random_state = 9 + static_cast<uint64_t>(type);
  Hash hash;
  for (int round = 0; round < 5; round++) {
    Case c = make(false);
    while (c.k_type != type || c.v_type != type) c = make(false);
    auto slices = slices_of(c);
    store(c, slices, 2);
    std::vector<float> out(static_cast<size_t>(c.rows) * c.heads * c.v_dim), again(out.size());
    attend(c, slices, 1, true, out);
    attend(c, slices, 2, true, again);
    if (!same(out, again, "2 threads", c)) std::exit(1);
    hash.add(out);
    if (type == PL_CACHE_Q8_0 && c.dim % 32) continue;
    const auto q_norm = normals(c.dim), k_norm = normals(c.dim);
    const int dims = c.dim / 4 * 2;
    std::vector<float> table = normals(static_cast<int64_t>(c.rows) * dims), turned(c.q.size());
    pl_rotate_store p{};
    p.q = address(c.q.data()), p.q_stride = 4 * c.dim * c.heads, p.q_out = address(turned.data());
    p.k = address(c.k.data()), p.k_row_stride = 4 * c.dim * c.kv_heads;
    p.v = address(c.v.data()), p.v_row_stride = 4 * c.v_dim * c.kv_heads, p.v_width = c.v_dim * c.kv_heads;
    p.heads = c.heads, p.kv_heads = c.kv_heads, p.head_dim = c.dim, p.eps = 1e-6;
    p.q_norm = address(q_norm.data()), p.k_norm = address(k_norm.data());
    p.table = dims ? address(table.data()) : 0, p.dims = dims, p.halves = round % 2;
    p.k_type = c.k_type, p.v_type = c.v_type, p.slices = address(slices.data());
    p.slice_count = static_cast<int64_t>(slices.size());
    run(pl_op_rotate_store, &p, 2);
    hash.add(turned);
    c.q = turned;
    attend(c, slices, 2, true, out);
    hash.add(out);
  }
  hash.print(subject);
}

// Streams of a residual, blocks of positions, their indexer and attention over them.
void compressed() {
  random_state = 21;
  Hash streams, blocks;
  for (int round = 0; round < 12; round++) {
    std::vector<float> made;
    Streams().compute(2, made);
    streams.add(made);
    Compressed c;
    c.begin();
    for (size_t i = 0; i < c.texts.size(); i++) {
      const int half = c.causal ? c.texts[i].rows / 2 : 0;
      if (half > 0 && !c.step({{i, 0, half}}, 2)) std::exit(1);
      if (!c.step({{i, half, c.texts[i].rows - half}}, 1)) std::exit(1);
      blocks.add(c.texts[i].out);
      blocks.add(c.texts[i].chosen);
    }
  }
  streams.print("streams");
  blocks.print("compressed attention");
}

}  // namespace

int main() {
  if (pl_init("scalar") != 0) return std::fprintf(stderr, "%s\n", pl_error()), 1;
  for (const Type& t : types) products(t);
  norms();
  gates();
  angles();
  compressed();
  attention(PL_CACHE_F32, "attention over f32");
  attention(PL_CACHE_F16, "attention over f16");
  attention(PL_CACHE_Q8_0, "attention over q8_0");
  attention(PL_CACHE_I16, "attention over i16");
  return 0;
}

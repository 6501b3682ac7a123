// The amx path against the avx512 path, byte for byte; needs AVX-512 VBMI. On machines without AMX the
// same machine code runs on amx_emulator.h, which is itself checked first: against a plain loop, and
// against the hardware where there is any. Defects are put into single instructions to see them found.
//
// Linked with the library's objects except path.cpp: only this program can choose the path that the
// machine does not have. Prints `ok emulated` or `ok hardware`; exit 1 on a failure.
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

#include "../src/common/cpu.h"
#include "../src/linear/linear.h"
#include "amx_emulator.h"
#include "weights.h"

namespace pl {
static Path chosen = Path::avx512;
Path path() { return chosen; }
}  // namespace pl

// Code without anything but AMX, so that it can also be stepped through: C += A B.
//   rdi configuration, and room for one behind it; rsi A; rdx B; rcx C; r8, r9 bytes of rows
#define PROBE(name, instruction)                                                                  \
  __asm__(".text\n.globl " #name "\n" #name ":\n"                                                 \
          "ldtilecfg (%rdi)\n"                                                                    \
          "sttilecfg 64(%rdi)\n"                                                                  \
          "tilezero %tmm0\n"                                                                      \
          "tileloadd (%rcx,%r9,2), %tmm0\n"                                                       \
          "tileloadd 16(%rsi,%r8), %tmm3\n"                                                       \
          "tileloaddt1 1024(%rdx,%r9,4), %tmm7\n" instruction " %tmm7, %tmm3, %tmm0\n"            \
          "tilestored %tmm0, (%rcx,%r9,2)\n"                                                      \
          "tilerelease\n"                                                                         \
          "ret\n");                                                                               \
  extern "C" void name(uint8_t* configuration, const void* a, const void* b, void* c, int64_t a_row, \
                       int64_t c_row)
PROBE(probe_ss, "tdpbssd");
PROBE(probe_su, "tdpbsud");
PROBE(probe_us, "tdpbusd");
PROBE(probe_uu, "tdpbuud");

namespace {

bool hardware = false;
std::atomic<int> failures{0};
void check(bool ok, const char* what, const char* name = "", int64_t number = 0) {
  if (ok) return;
  failures++;
  std::printf("  FAIL %s %s (%lld)\n", what, name, static_cast<long long>(number));
}
int64_t pick(int64_t from, int64_t to) {
  return from + static_cast<int64_t>(next_random() % static_cast<uint64_t>(to - from + 1));
}

// ---- the emulator -----------------------------------------------------------------------------
using Probe = void (*)(uint8_t*, const void*, const void*, void*, int64_t, int64_t);
const struct {
  Probe run;
  bool signed_a, signed_b;
} probes[] = {{probe_ss, true, true}, {probe_su, true, false}, {probe_us, false, true}, {probe_uu, false, false}};

// What a probe works on. Rows have gaps, which no instruction may touch.
struct Bench {
  int m, k, n;  // rows of A, rows of B, columns of B
  alignas(64) uint8_t configuration[128] = {};
  uint8_t a[16 + 16 * 96], b[1024 + 16 * 160], c[16 * 80];
  Bench() : m(static_cast<int>(pick(1, 16))), k(static_cast<int>(pick(1, 16))), n(static_cast<int>(pick(1, 16))) {
    for (auto& x : a) x = static_cast<uint8_t>(next_random());
    for (auto& x : b) x = static_cast<uint8_t>(next_random());
    for (auto& x : c) x = static_cast<uint8_t>(next_random());
    configuration[0] = 1;
    set(0, m, 4 * n), set(3, m, 4 * k), set(7, k, 4 * n);
  }
  void set(int tile, int rows, int bytes) {
    configuration[16 + 2 * tile] = static_cast<uint8_t>(bytes);
    configuration[17 + 2 * tile] = static_cast<uint8_t>(bytes >> 8);
    configuration[48 + tile] = static_cast<uint8_t>(rows);
  }
  void run(Probe probe) { probe(configuration, a, b, c, 96, 40); }
  // The same by the emulator, whatever the machine has. The problem, or null.
  const char* step(Probe probe) {
    amx::Registers r{};
    r.value[7] = address(configuration), r.value[6] = address(a), r.value[2] = address(b);
    r.value[1] = address(c), r.value[8] = 96, r.value[9] = 40;
    amx::Tiles tiles{};
    const auto* code = reinterpret_cast<const uint8_t*>(probe);
    while (*code != 0xc3) {
      r.rip = address(code);
      const char* problem;
      const int length = amx::execute(code, r, tiles, &problem);
      if (length == 0) return problem;
      code += length;
    }
    return nullptr;
  }
  void loop(bool signed_a, bool signed_b) {
    std::copy(configuration, configuration + 64, configuration + 64);
    for (int row = 0; row < m; row++) {
      for (int column = 0; column < n; column++) {
        int32_t sum;
        std::memcpy(&sum, c + row * 80 + column * 4, 4);
        int64_t wide = sum;
        for (int i = 0; i < 4 * k; i++) {
          const uint8_t x = a[16 + row * 96 + i], y = b[1024 + i / 4 * 160 + column * 4 + i % 4];
          wide += int64_t{signed_a ? static_cast<int8_t>(x) : x} * (signed_b ? static_cast<int8_t>(y) : y);
        }
        sum = static_cast<int32_t>(wide);
        std::memcpy(c + row * 80 + column * 4, &sum, 4);
      }
    }
  }
  bool operator==(const Bench& o) const {
    return std::memcmp(configuration, o.configuration, sizeof configuration) == 0 &&
           std::memcmp(c, o.c, sizeof c) == 0;
  }
};

void test_emulator() {
  for (int round = 0; round < 200; round++) {
    for (const auto& probe : probes) {
      const Bench start;
      Bench looped = start, ran = start, stepped = start;
      looped.loop(probe.signed_a, probe.signed_b);
      ran.run(probe.run);
      check(ran == looped, hardware ? "hardware against the loop" : "handler against the loop");
      check(stepped.step(probe.run) == nullptr && stepped == looped, "emulator against the loop");
    }
  }
}

// What a processor refuses.
void test_refusals() {
  const auto refuses = [](const char* expected, auto change) {
    Bench bench;
    bench.m = bench.k = bench.n = 8;
    bench.set(0, 8, 32), bench.set(3, 8, 32), bench.set(7, 8, 32);
    Bench same = bench;
    check(same.step(probe_ss) == nullptr, "accepts what is right");
    change(bench);
    const char* problem = bench.step(probe_ss);
    check(problem != nullptr && std::strstr(problem, expected) != nullptr, expected, problem ? problem : "accepted");
  };
  refuses("no such palette", [](Bench& b) { b.configuration[0] = 2; });
  refuses("not configured", [](Bench& b) { b.configuration[0] = 0; });
  refuses("reserved", [](Bench& b) { b.configuration[9] = 1; });
  refuses("reserved", [](Bench& b) { b.configuration[40] = 1; });
  refuses("reserved", [](Bench& b) { b.configuration[60] = 1; });
  refuses("too long", [](Bench& b) { b.set(1, 1, 68); });
  refuses("too many rows", [](Bench& b) { b.set(1, 17, 4); });
  refuses("rows or bytes only", [](Bench& b) { b.set(1, 1, 0); });
  refuses("rows or bytes only", [](Bench& b) { b.set(1, 0, 4); });
  refuses("the tile is not configured", [](Bench& b) { b.set(7, 0, 0); });
  refuses("columns of A", [](Bench& b) { b.set(7, 7, 32); });
  refuses("different rows", [](Bench& b) { b.set(0, 7, 32); });
  refuses("different columns", [](Bench& b) { b.set(0, 8, 28); });
  refuses("whole numbers", [](Bench& b) { b.set(7, 8, 30); });

  // A good configuration, then single instructions: a tile twice, tmm8, no SIB byte, another opcode.
  const auto after = [](const char* expected, std::vector<uint8_t> code) {
    Bench bench;
    amx::Registers r{};
    amx::Tiles tiles{};
    r.value[7] = address(bench.configuration);
    const char* problem;
    amx::execute(reinterpret_cast<const uint8_t*>(probe_ss), r, tiles, &problem);
    const int length = amx::execute(code.data(), r, tiles, &problem);
    check(length == 0 && std::strstr(problem, expected) != nullptr, expected, problem ? problem : "accepted");
  };
  after("not different", {0xc4, 0xe2, 0x7b, 0x5e, 0xc3, 0, 0, 0});         // tdpbssd tmm0, tmm3, tmm0
  after("no such tile", {0xc4, 0x62, 0x43, 0x5e, 0xc3, 0, 0, 0});          // tdpbssd tmm8, tmm3, tmm7
  after("SIB", {0xc4, 0xe2, 0x7b, 0x4b, 0x07, 0, 0, 0});                   // tileloadd tmm0, [rdi]
  after("vvvv", {0xc4, 0xe2, 0x73, 0x49, 0xc0, 0, 0, 0});                  // tilezero with vvvv
  after("not an AMX instruction", {0xc4, 0xe2, 0x7b, 0x50, 0xc3, 0, 0, 0});
}

// The handler ends the process on what is refused: here a product of tiles that are not configured.
void test_handler_ends() {
  if (hardware) return;
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(5);
    __asm__ volatile("tdpbssd %tmm7, %tmm3, %tmm0");
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 3, "the handler ends the process");
}

// ---- products ---------------------------------------------------------------------------------
// Whether this thread's tiles are in their first state: then they cost nothing when threads change.
bool released() {
  uint8_t configuration[64];
  __asm__ volatile("sttilecfg (%0)" : : "r"(configuration) : "memory");
  return std::all_of(configuration, configuration + 64, [](uint8_t b) { return b == 0; });
}

void run(void (*op)(void*, int, int, void*), void* params, int threads) {
  const auto part = [=](int ith) {
    op(nullptr, ith, threads, params);
    check(released(), "tiles are released");
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; i++) others.emplace_back(part, i);
  part(0);
  for (auto& t : others) t.join();
}

struct Matrix {
  const Type& type;
  int64_t k, n, count, each;  // count: matrices of a stack
  Memory panels;
  Matrix(const Type& t, int64_t columns, int64_t rows, int64_t matrices = 1)
      : type(t), k(columns), n(rows), count(matrices), each(pl_panel_bytes(t.id, k, n)), panels(each * count) {
    for (int64_t i = 0; i < count; i++) {
      const auto blocks = random_rows(t, k, n);
      pl_repack(t.id, blocks.data(), static_cast<uint8_t*>(panels.data) + i * each, k, n, 0, n, 1);
    }
  }
};

struct Activations {
  std::vector<float> x;
  Memory act;
  Activations(int64_t k, int64_t rows) : x(static_cast<size_t>(k * rows)), act(pl_act_bytes(k, rows) + 64) {
    for (auto& v : x) v = normal();
    pl_quantize q{};
    q.x = address(x.data()), q.x_stride = k * 4, q.out = address(act.data), q.k = k, q.rows = rows;
    pl_op_quantize(nullptr, 0, 1, &q);
  }
};

template <class Product>
std::vector<float> on(pl::Path path, size_t size, Product product) {
  std::vector<float> y(size, -1);
  pl::chosen = path;
  product(y.data());
  return y;
}
bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

// It multiplies four tiles and two panels or more; how threads share out panels decides about the rest.
enum class Used { no, yes, maybe };
Used expected_use(bool by_unit, int64_t rows, int64_t n, int threads) {
  return !by_unit || rows < 64 || n <= 16 ? Used::no : threads == 1 ? Used::yes : Used::maybe;
}
bool by_unit(const Type& t) {
  const pl::Format& f = pl::formats[pl::format_index(t.id)];
  return !f.real() && !f.pair();
}

// Both paths; whether the matrix unit was at work must be as expected (only the emulator can tell).
template <class Product>
void compare(const char* what, const Type& t, size_t size, Used used, Product product) {
  const auto expected = on(pl::Path::avx512, size, product);
  amx::start({});
  const auto found = on(pl::Path::amx, size, product);
  check(same(found, expected), what, t.name);
  if (hardware || used == Used::maybe) return;
  check((amx::products > 0) == (used == Used::yes), "products by the matrix unit", what, amx::products);
}

int64_t random_columns(const Type& t) { return t.block * pick(1, t.block == 256 ? 3 : 640 / t.block); }

void test_linear(const Type& t, int64_t k, int64_t n, int64_t rows) {
  const Type& other = types[pick(0, std::size(types) - 1)];
  const bool fits = k % other.block == 0;
  const Matrix a(t, k, n), b(fits ? other : t, k, n);
  const Activations input(k, rows);
  std::vector<float> residual(static_cast<size_t>(n * rows));
  for (auto& v : residual) v = normal();
  // A pair with a gate where both have tiles; else one beside the other.
  const bool gated = b.type.block > 1 && pick(0, 1) == 1;
  const int threads = static_cast<int>(pick(1, 3));
  const bool unit = gated ? by_unit(t) && by_unit(b.type) : by_unit(t) || by_unit(b.type);
  const Used used = expected_use(unit, rows, n, threads);
  compare(gated ? "gated" : "linear", t, static_cast<size_t>(2 * n * rows), used, [&](float* y) {
    pl_linear l{};
    l.act = address(input.act.data), l.x = address(input.x.data()), l.x_stride = k * 4;
    l.k = k, l.rows = rows, l.count = 2, l.epilogue = gated ? 1 + rows % 2 : 0;
    l.residual = address(residual.data()), l.residual_stride = n * 4;
    l.panels0 = address(a.panels.data), l.type0 = t.id, l.n0 = n, l.dst0 = address(y), l.stride0 = n * 4;
    l.panels1 = address(b.panels.data), l.type1 = b.type.id, l.n1 = n;
    l.dst1 = address(y + n * rows), l.stride1 = n * 4;
    run(pl_op_linear, &l, threads);
  });
}

void test_experts(const Type& t, int64_t tokens) {
  const int64_t k = random_columns(t), n = pick(1, 40), experts = 3, slots = 2;
  const Matrix stack(t, k, n, experts), second(t, k, n, experts);
  const Activations input(k, tokens);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < tokens; i++) {
    const int64_t first = pick(0, 9) < 8 ? 0 : 1;  // most tokens choose the same
    ids.push_back(static_cast<int32_t>(first));
    ids.push_back(static_cast<int32_t>(first + pick(1, experts - 1 - first)));
  }
  const int threads = static_cast<int>(pick(1, 3));
  const Used used = !by_unit(t) || tokens < 64 ? Used::no : Used::maybe;
  compare("experts", t, static_cast<size_t>(n * slots * tokens), used, [&](float* y) {
    pl_moe m{};
    m.act = address(input.act.data), m.k = k, m.tokens = m.act_rows = tokens, m.slots = slots;
    m.ids = address(ids.data()), m.ids_stride = slots * 4, m.experts = experts;
    m.count = 2, m.epilogue = 1;
    m.panels0 = address(stack.panels.data), m.type0 = t.id, m.n0 = n, m.bytes0 = stack.each;
    m.panels1 = address(second.panels.data), m.type1 = t.id, m.n1 = n, m.bytes1 = second.each;
    m.dst = address(y), m.stride = n * 4;
    run(pl_op_moe, &m, threads);
  });
}

// Attention over a cache of integers: `rows` tokens of one sequence behind `past` others.
struct Attention {
  int64_t dim, kv_heads, group, past, rows, window, k_stride, width;
  std::vector<float> q, k, v;
  Memory keys, values;
  pl_cache_slice slice{};
  Attention(int64_t d, int64_t heads, int64_t queries, int64_t before, int64_t count, int64_t limit)
      : dim(d), kv_heads(heads), group(queries), past(before), rows(count), window(limit),
        k_stride(2 * d * heads + 8 * heads), width(d * heads),
        q(static_cast<size_t>(rows * group * width)), k(static_cast<size_t>((past + rows) * width)), v(k.size()),
        keys((past + rows + 63) / 64 * 64 * k_stride), values((past + rows + 63) / 64 * 64 * 2 * width) {
    for (auto* list : {&q, &k, &v})
      for (auto& x : *list) x = normal();
    slice = {address(keys.data), address(values.data), k_stride, 2 * width, 0, past + rows, 0};
    pl_cache_store p{};
    p.k = address(k.data()), p.v = address(v.data()), p.k_width = p.v_width = width, p.k_row_stride = p.v_row_stride = 4 * width;
    p.k_type = p.v_type = PL_CACHE_I16, p.kv_heads = kv_heads;
    p.slices = address(&slice), p.slice_count = 1;
    pl_op_cache_store(nullptr, 0, 1, &p);
    slice.count = rows, slice.past = past;
  }
  size_t size() const { return q.size(); }
  void operator()(float* out, int threads) {
    pl_attention p{};
    p.q = address(q.data()), p.q_stride = 4 * width * group, p.q_head_stride = 4 * dim;
    p.out = address(out), p.out_stride = p.q_stride;
    p.slices = address(&slice), p.slice_count = 1;
    p.heads = kv_heads * group, p.kv_heads = kv_heads, p.head_dim = p.v_dim = dim;
    p.k_type = p.v_type = PL_CACHE_I16, p.scale = 0.1, p.causal = 1, p.window = window;
    p.scratch_bytes = pl_attention_scratch(&p, rows, past + rows, threads);
    Memory scratch(p.scratch_bytes);
    std::memset(scratch.data, 0, static_cast<size_t>(p.scratch_bytes));
    p.scratch = address(scratch.data);
    run(pl_op_attention, &p, threads);
  }
};

void test_attention() {
  const Type integers{"i16", PL_CACHE_I16, 64, 128, {}};
  for (int64_t dim : {64, 128, 192, 256}) {
    for (int64_t rows : {1, 3, 16, 40}) {
      const int64_t heads = pick(1, 3), queries = pick(1, 3), before = pick(0, 300);
      const int64_t limit = pick(1, 400), window = limit > 200 ? 0 : limit;
      const int threads = static_cast<int>(pick(1, 3));
      Attention a(dim, heads, queries, before, rows, window);
      const Used used = rows * a.group > 4 ? Used::yes : Used::no;
      compare("attention", integers, a.size(), used, [&](float* y) { a(y, threads); });
    }
  }
  if (hardware) return;
  Attention a(128, 1, 2, 100, 8, 0);
  const auto once = [&](float* y) { a(y, 1); };
  const auto expected = on(pl::Path::avx512, a.size(), once);
  for (auto defect : {amx::Defect::operand, amx::Defect::byte, amx::Defect::sign, amx::Defect::row}) {
    for (int64_t at : {0, 5, 17}) {
      amx::start({defect, at});
      check(!same(on(pl::Path::amx, a.size(), once), expected), "a defect of attention is seen", "",
            static_cast<int64_t>(defect) * 100 + at);
    }
  }
  amx::start({});
}

// Defects in single instructions: every one has to change the result. A byte of a block whose scale is zero
// does not, so the numbers are always the same, whatever was drawn before.
void test_defects(const Type& t) {
  if (hardware || !by_unit(t)) return;
  const uint64_t drawn = random_state;
  random_state = 2;
  const int64_t k = 512, n = 32, rows = 80;
  const Matrix a(t, k, n);
  const Activations input(k, rows);
  const auto product = [&](float* y) {
    pl_linear l{};
    l.act = address(input.act.data), l.k = k, l.rows = rows, l.count = 1;
    l.panels0 = address(a.panels.data), l.type0 = t.id, l.n0 = n, l.dst0 = address(y), l.stride0 = n * 4;
    run(pl_op_linear, &l, 1);
  };
  const auto expected = on(pl::Path::avx512, static_cast<size_t>(n * rows), product);
  for (auto defect : {amx::Defect::operand, amx::Defect::byte, amx::Defect::sign, amx::Defect::row}) {
    for (int64_t at : {0, 5, 17}) {
      amx::start({defect, at});
      const auto found = on(pl::Path::amx, static_cast<size_t>(n * rows), product);
      check(!same(found, expected), "a defect is seen", t.name, static_cast<int64_t>(defect) * 100 + at);
    }
  }
  amx::start({});
  random_state = drawn;
}

}  // namespace

int main() {
  hardware = pl::supports(pl::Path::amx);
  if (!pl::supports(pl::Path::avx512vbmi)) return std::printf("needs AVX-512 VBMI\n"), 1;
  for (pl::Path path : {pl::Path::amx, pl::Path::avx512}) {
    pl::chosen = path;
    pl::linear_path();  // filled while there is one thread
  }
  if (!hardware) amx::install();
  test_emulator();
  test_refusals();
  test_handler_ends();
  for (const Type& t : types) {
    if (t.block == 1) continue;
    for (int64_t rows : {1, 7, 16, 33, 64, 81, 272}) test_linear(t, random_columns(t), pick(1, 50), rows);
    for (int i = 0; i < 2; i++) test_linear(t, random_columns(t), pick(1, 50), pick(48, 200));
    test_experts(t, pick(1, 15));
    test_experts(t, pick(100, 200));
    test_defects(t);
  }
  test_linear(types[3], 8192, 20, 150);  // in several passes
  test_attention();
  if (failures == 0) std::printf("ok %s\n", hardware ? "hardware" : "emulated");
  return failures ? 1 : 0;
}

// The AMX instructions of the matrix products in software, for machines without them: a handler for
// SIGILL reads the machine code at the fault, does what a processor would do, and goes on behind it.
//
// What a processor refuses (#UD, #GP) is refused here: execute() says why, and the handler ends the
// process with status 3. Follows Intel's Software Developer's Manual: LDTILECFG, STTILECFG,
// TILERELEASE, TILEZERO, TILELOADD(T1), TILESTORED, TDPB{SS,SU,US,UU}D; palette 1. Linux, 64 bits.
#pragma once
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace amx {

constexpr int tile_count = 8, most_rows = 16, most_bytes = 64;

// What a thread's tile registers hold.
struct Tiles {
  uint8_t palette, start_row, rows[tile_count];  // palette 0: not configured
  uint16_t row_bytes[tile_count];
  uint8_t data[tile_count][most_rows][most_bytes];
};
// General registers in the order of their numbers in machine code, and the address of the instruction.
struct Registers {
  uint64_t value[16], rip;
};

// A defect to put into one instruction of the process, so that tests can show that they would see it.
enum class Defect { none, operand, byte, sign, row };
struct Plan {
  Defect defect = Defect::none;
  int64_t at = 0;  // which of the products, or loads for `byte`, from 0
};

inline Plan plan;
inline std::atomic<int64_t> loads{0}, products{0};
inline thread_local Tiles tiles{};

inline void start(Plan next) {
  plan = next;
  loads = products = 0;
}

// ---- machine code -----------------------------------------------------------------------------
struct Instruction {
  int length, opcode, prefix;     // prefix: 0 none, 1 66, 2 F3, 3 F2
  int reg, rm, vvvv;              // numbers of registers
  bool memory, sib, has_index;
  uint64_t address, index;        // the index scaled
};

// False: not VEX.128.0F38.W0 with opcode 49, 4B or 5E.
inline bool decode(const uint8_t* code, const Registers& registers, Instruction* out) {
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0) return false;
  Instruction i{};
  i.opcode = code[3];
  if (i.opcode != 0x49 && i.opcode != 0x4b && i.opcode != 0x5e) return false;
  const int r = code[1] & 0x80 ? 0 : 8, x = code[1] & 0x40 ? 0 : 8, b = code[1] & 0x20 ? 0 : 8;
  i.prefix = code[2] & 3;
  i.vvvv = ~code[2] >> 3 & 15;
  const int mod = code[4] >> 6, low = code[4] & 7;
  i.reg = (code[4] >> 3 & 7) + r;
  i.rm = low + b;
  i.memory = mod != 3;
  const uint8_t* p = code + 5;
  bool from_rip = false;
  if (i.memory) {
    bool no_base = mod == 0 && low == 5;
    from_rip = no_base;
    int base = low + b;
    if (low == 4) {
      const uint8_t sib = *p++;
      const int index = (sib >> 3 & 7) + x;
      i.sib = true;
      i.has_index = index != 4;
      if (i.has_index) i.index = registers.value[index] << (sib >> 6);
      base = (sib & 7) + b;
      no_base = mod == 0 && (sib & 7) == 5;
    }
    if (!no_base) i.address = registers.value[base];
    if (mod == 1) {
      i.address += static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(*p++)));
    } else if (mod == 2 || no_base) {
      int32_t far;
      std::memcpy(&far, p, 4);
      i.address += static_cast<uint64_t>(static_cast<int64_t>(far));
      p += 4;
    }
  }
  i.length = static_cast<int>(p - code);
  if (from_rip) i.address += registers.rip + static_cast<uint64_t>(i.length);
  *out = i;
  return true;
}

// ---- configuration ----------------------------------------------------------------------------
inline const char* load_configuration(const uint8_t* p, Tiles& t) {
  if (p[0] == 0) {
    t = Tiles{};
    return nullptr;
  }
  if (p[0] != 1) return "#GP: no such palette";
  for (int i = 2; i < 64; ++i) {
    const bool used = (i >= 16 && i < 32) || (i >= 48 && i < 56);
    if (!used && p[i] != 0) return "#GP: a reserved byte of the configuration is not zero";
  }
  Tiles next{};
  next.palette = 1;
  next.start_row = p[1];
  for (int i = 0; i < tile_count; ++i) {
    std::memcpy(&next.row_bytes[i], p + 16 + 2 * i, 2);
    next.rows[i] = p[48 + i];
    if (next.row_bytes[i] > most_bytes) return "#GP: the rows of a tile are too long";
    if (next.rows[i] > most_rows) return "#GP: a tile has too many rows";
    if ((next.rows[i] == 0) != (next.row_bytes[i] == 0)) return "#GP: a tile has rows or bytes only";
  }
  t = next;
  return nullptr;
}

inline void store_configuration(const Tiles& t, uint8_t* p) {
  std::memset(p, 0, 64);
  if (t.palette == 0) return;
  p[0] = t.palette;
  p[1] = t.start_row;
  std::memcpy(p + 16, t.row_bytes, sizeof t.row_bytes);
  std::memcpy(p + 48, t.rows, sizeof t.rows);
}

// ---- loads, stores, products ------------------------------------------------------------------
inline const char* check(const Tiles& t, int tile) {
  if (t.palette == 0) return "#UD: the tiles are not configured";
  if (tile >= tile_count) return "#UD: no such tile";
  return t.rows[tile] == 0 ? "#UD: the tile is not configured" : nullptr;
}

inline const char* move(const Instruction& i, Tiles& t, bool load) {
  if (!i.sib) return "#UD: the address has no SIB byte";
  if (const char* problem = check(t, i.reg)) return problem;
  if (t.row_bytes[i.reg] % 4 != 0) return "#UD: rows are not whole numbers of 32 bits";
  if (t.start_row >= t.rows[i.reg]) return "#UD: the start row is not in the tile";
  uint8_t(&data)[most_rows][most_bytes] = t.data[i.reg];
  const size_t bytes = t.row_bytes[i.reg];
  if (load) std::memset(data[t.start_row], 0, sizeof data - t.start_row * sizeof data[0]);
  for (int row = t.start_row; row < t.rows[i.reg]; ++row) {
    const uint64_t address = i.address + static_cast<uint64_t>(row) * i.index;
    uint8_t* const p = reinterpret_cast<uint8_t*>(address);
    load ? std::memcpy(data[row], p, bytes) : std::memcpy(p, data[row], bytes);
  }
  t.start_row = 0;
  if (load && loads++ == plan.at && plan.defect == Defect::byte) data[0][0] ^= 0x40;
  return nullptr;
}

inline const char* product(Instruction i, Tiles& t) {
  for (int tile : {i.reg, i.rm, i.vvvv}) {
    if (const char* problem = check(t, tile)) return problem;
    if (t.row_bytes[tile] % 4 != 0) return "#UD: rows are not whole numbers of 32 bits";
  }
  if (i.reg == i.rm || i.reg == i.vvvv || i.rm == i.vvvv) return "#UD: the three tiles are not different";
  const int depth = t.row_bytes[i.rm] / 4, columns = t.row_bytes[i.reg] / 4;
  if (depth != t.rows[i.vvvv]) return "#UD: the columns of A are not the rows of B";
  if (t.rows[i.reg] != t.rows[i.rm]) return "#UD: C and A have different rows";
  if (t.row_bytes[i.reg] != t.row_bytes[i.vvvv]) return "#UD: C and B have different columns";
  const Defect defect = products++ == plan.at ? plan.defect : Defect::none;
  if (defect == Defect::operand) i.vvvv ^= 1;
  const bool signed_a = (i.prefix == 3 || i.prefix == 2) && defect != Defect::sign;
  const bool signed_b = (i.prefix == 3 || i.prefix == 1) && defect != Defect::sign;
  const int rows = t.rows[i.reg] - (defect == Defect::row ? 1 : 0);
  for (int m = 0; m < rows; ++m) {
    for (int n = 0; n < columns; ++n) {
      uint32_t sum;
      std::memcpy(&sum, &t.data[i.reg][m][4 * n], 4);
      for (int k = 0; k < depth; ++k) {
        for (int byte = 0; byte < 4; ++byte) {
          const uint8_t a = t.data[i.rm][m][4 * k + byte], b = t.data[i.vvvv][k][4 * n + byte];
          const int left = signed_a ? static_cast<int8_t>(a) : a;
          const int right = signed_b ? static_cast<int8_t>(b) : b;
          sum += static_cast<uint32_t>(left * right);
        }
      }
      std::memcpy(&t.data[i.reg][m][4 * n], &sum, 4);
    }
  }
  t.start_row = 0;
  return nullptr;
}

// Executes one instruction. Returns its length; 0: it is none of those above, or refused (`problem`).
inline int execute(const uint8_t* code, const Registers& registers, Tiles& t, const char** problem) {
  Instruction i;
  *problem = nullptr;
  if (!decode(code, registers, &i)) {
    *problem = "not an AMX instruction";
    return 0;
  }
  uint8_t* const memory = reinterpret_cast<uint8_t*>(i.address);
  if (i.opcode != 0x5e && i.vvvv != 0) {
    *problem = "#UD: VEX.vvvv is used";
  } else if (i.opcode == 0x5e && !i.memory) {
    *problem = product(i, t);
  } else if (i.opcode == 0x4b && i.memory && i.prefix != 0) {
    *problem = move(i, t, i.prefix != 2);
  } else if (i.opcode == 0x49 && i.memory && i.prefix == 0 && i.reg == 0) {
    *problem = load_configuration(memory, t);
  } else if (i.opcode == 0x49 && i.memory && i.prefix == 1 && i.reg == 0) {
    store_configuration(t, memory);
  } else if (i.opcode == 0x49 && !i.memory && i.prefix == 0 && i.reg == 0 && i.rm == 0) {
    t = Tiles{};
  } else if (i.opcode == 0x49 && !i.memory && i.prefix == 3 && i.rm == 0) {
    *problem = check(t, i.reg);
    if (*problem == nullptr) {
      std::memset(t.data[i.reg], 0, sizeof t.data[i.reg]);
      t.start_row = 0;
    }
  } else {
    *problem = "#UD: not an AMX instruction that is emulated";
  }
  return *problem == nullptr ? i.length : 0;
}

// ---- the handler ------------------------------------------------------------------------------
inline void handle(int, siginfo_t*, void* context) {
  greg_t* const g = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  Registers registers;
  for (int i = 0; i < 16; ++i) registers.value[i] = static_cast<uint64_t>(g[order[i]]);
  registers.rip = static_cast<uint64_t>(g[REG_RIP]);
  const uint8_t* const code = reinterpret_cast<const uint8_t*>(registers.rip);
  const char* problem;
  const int length = execute(code, registers, tiles, &problem);
  if (length == 0) {
    char line[160];
    const int n = std::snprintf(line, sizeof line, "SIGILL at %02x %02x %02x %02x %02x: %s\n", code[0],
                                code[1], code[2], code[3], code[4], problem);
    if (write(2, line, static_cast<size_t>(n)) < 0) _exit(4);
    _exit(3);
  }
  g[REG_RIP] += length;
}

// From here on the process has AMX.
inline void install() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace amx

// Matrix products of the avx512vbmi path: the avx512 path's, but for types with codebooks, which are looked up
// sixteen rows at once. The results are the same bytes.
#include "coded_avx512vbmi.h"
#include "kernel.h"

namespace pl {
namespace {

template <int F>
void fill_coded(LinearPath& p) {
  if constexpr (formats[F].book != Book::none) fill_sizes<Avx512Vbmi, F, 1, 2, 3, 4, 6, 8, 12, 16>(p);
  if constexpr (F + 1 < format_count) fill_coded<F + 1>(p);
}

LinearPath with_lookups(LinearPath p) {
  fill_coded<0>(p);
  return p;
}

}  // namespace

const LinearPath* linear_avx512vbmi() {
  static const LinearPath p = with_lookups(*linear_avx512());
  return &p;
}
}  // namespace pl

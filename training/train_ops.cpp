// Fused elementwise passes of the training step (forward and backward), bf16 in and out, float inside.
// Matrix products stay in PyTorch (oneDNN); everything between them is here, so that each tensor is touched once.
// Shapes: N = B*T tokens, D model width, hd head width, heads ordered so that query head j uses kv head j/(H/KV).
#include <cmath>
#include <cstdint>
#include <cstring>

typedef uint16_t bf;
static inline float up(bf v) { uint32_t u = (uint32_t)v << 16; float f; memcpy(&f, &u, 4); return f; }
static inline bf down(float f) { uint32_t u; memcpy(&u, &f, 4); return (bf)((u + 0x7FFF + ((u >> 16) & 1)) >> 16); }

extern "C" {
// x (float) += a (bf16, may be null); h = x / rms(x); r = 1 / rms(x)
void add_norm(float *x, const bf *a, bf *h, float *r, long N, long D, float eps) {
#pragma omp parallel for
  for (long t = 0; t < N; t++) {
    float *xt = x + t * D; bf *ht = h + t * D; float s = 0;
    if (a) { const bf *at = a + t * D; for (long i = 0; i < D; i++) xt[i] += up(at[i]); }
    for (long i = 0; i < D; i++) s += xt[i] * xt[i];
    float inv = 1.0f / sqrtf(s / D + eps); r[t] = inv;
    for (long i = 0; i < D; i++) ht[i] = down(xt[i] * inv);
  }
}
// dx (float) += gradient through h = x / rms(x); db = bf16(dx)
void norm_back(const bf *dh, const bf *h, const float *r, float *dx, bf *db, long N, long D) {
#pragma omp parallel for
  for (long t = 0; t < N; t++) {
    const bf *g = dh + t * D, *ht = h + t * D; float *d = dx + t * D; bf *b = db + t * D; float s = 0;
    for (long i = 0; i < D; i++) s += up(g[i]) * up(ht[i]);
    s /= D; float inv = r[t];
    for (long i = 0; i < D; i++) { float v = d[i] + inv * (up(g[i]) - up(ht[i]) * s); d[i] = v; b[i] = down(v); }
  }
}
// splits qkv [N, (H+2KV)*hd] into q [B,H,T,hd] and k, v [B,KV,T,hd]; q and k are normalised per head times gain and
// rotated (NEOX); q is further scaled by qs. rs keeps 1/rms per head. cs: [T, hd/2] cos then [T, hd/2] sin.
void split_heads(const bf *qkv, bf *q, bf *k, bf *v, float *rs, const float *cs, const float *sn, long B, long T, long H,
                 long KV, long hd, float gain, float qs, float eps) {
  long W = (H + 2 * KV) * hd, half = hd / 2;
#pragma omp parallel for
  for (long n = 0; n < B * T; n++) {
    long b = n / T, t = n % T; const bf *row = qkv + n * W; const float *c = cs + t * half, *s = sn + t * half;
    for (long j = 0; j < H + KV; j++) {
      const bf *z = row + j * hd; float ss = 0;
      for (long i = 0; i < hd; i++) ss += up(z[i]) * up(z[i]);
      float inv = 1.0f / sqrtf(ss / hd + eps); rs[n * (H + KV) + j] = inv;
      float m = inv * gain * (j < H ? qs : 1.0f);
      bf *o = j < H ? q + ((b * H + j) * T + t) * hd : k + ((b * KV + j - H) * T + t) * hd;
      for (long i = 0; i < half; i++) {
        float p = up(z[i]) * m, w = up(z[i + half]) * m;
        o[i] = down(p * c[i] - w * s[i]); o[i + half] = down(p * s[i] + w * c[i]);
      }
    }
    for (long j = 0; j < KV; j++) memcpy(v + ((b * KV + j) * T + t) * hd, row + (H + KV + j) * hd, hd * 2);
  }
}
void split_heads_back(const bf *qkv, const bf *dq, const bf *dk, const bf *dv, const float *rs, const float *cs,
                      const float *sn, bf *dqkv, long B, long T, long H, long KV, long hd, float gain, float qs) {
  long W = (H + 2 * KV) * hd, half = hd / 2;
#pragma omp parallel for
  for (long n = 0; n < B * T; n++) {
    long b = n / T, t = n % T; const bf *row = qkv + n * W; bf *out = dqkv + n * W;
    const float *c = cs + t * half, *s = sn + t * half; float g[256];
    for (long j = 0; j < H + KV; j++) {
      const bf *z = row + j * hd; bf *o = out + j * hd; float inv = rs[n * (H + KV) + j];
      const bf *d = j < H ? dq + ((b * H + j) * T + t) * hd : dk + ((b * KV + j - H) * T + t) * hd;
      float m = gain * (j < H ? qs : 1.0f), dot = 0;
      for (long i = 0; i < half; i++) {
        float p = up(d[i]), w = up(d[i + half]);
        g[i] = (p * c[i] + w * s[i]) * m; g[i + half] = (w * c[i] - p * s[i]) * m;
      }
      for (long i = 0; i < hd; i++) dot += g[i] * up(z[i]) * inv;
      dot /= hd;
      for (long i = 0; i < hd; i++) o[i] = down(inv * (g[i] - up(z[i]) * inv * dot));
    }
    for (long j = 0; j < KV; j++) memcpy(out + (H + KV + j) * hd, dv + ((b * KV + j) * T + t) * hd, hd * 2);
  }
}
// [B,H,T,hd] to [B*T, H*hd] and back
void merge_heads(const bf *o, bf *y, long B, long T, long H, long hd) {
#pragma omp parallel for
  for (long n = 0; n < B * T; n++)
    for (long j = 0; j < H; j++) memcpy(y + (n * H + j) * hd, o + (((n / T) * H + j) * T + n % T) * hd, hd * 2);
}
void unmerge_heads(const bf *y, bf *o, long B, long T, long H, long hd) {
#pragma omp parallel for
  for (long n = 0; n < B * T; n++)
    for (long j = 0; j < H; j++) memcpy(o + (((n / T) * H + j) * T + n % T) * hd, y + (n * H + j) * hd, hd * 2);
}
// rows of scores [R, C] in place; row i may see columns < first + i % T + 1, the rest become 0
void softmax_causal(bf *s, long R, long T, long C, long first) {
#pragma omp parallel for
  for (long i = 0; i < R; i++) {
    bf *z = s + i * C; long n = first + i % T + 1; float m = -1e30f, sum = 0; float e[4096];
    for (long j = 0; j < n; j++) { float v = up(z[j]); m = v > m ? v : m; }
    for (long j = 0; j < n; j++) { e[j] = expf(up(z[j]) - m); sum += e[j]; }
    float inv = 1 / sum;
    for (long j = 0; j < n; j++) z[j] = down(e[j] * inv);
    memset(z + n, 0, (C - n) * 2);
  }
}
// dp in place: ds = p * (dp - sum(dp * p))
void softmax_back(const bf *p, bf *dp, long R, long T, long C, long first) {
#pragma omp parallel for
  for (long i = 0; i < R; i++) {
    const bf *a = p + i * C; bf *d = dp + i * C; long n = first + i % T + 1; float s = 0;
    for (long j = 0; j < n; j++) s += up(a[j]) * up(d[j]);
    for (long j = 0; j < n; j++) d[j] = down(up(a[j]) * (up(d[j]) - s));
    memset(d + n, 0, (C - n) * 2);
  }
}
// gu [N, 2F] = gate, up; y = silu(gate) * up
void swiglu(const bf *gu, bf *y, long N, long F) {
#pragma omp parallel for
  for (long t = 0; t < N; t++) {
    const bf *g = gu + t * 2 * F, *u = g + F; bf *o = y + t * F;
    for (long i = 0; i < F; i++) { float a = up(g[i]); o[i] = down(a / (1 + expf(-a)) * up(u[i])); }
  }
}
void swiglu_back(const bf *gu, const bf *dy, bf *dgu, long N, long F) {
#pragma omp parallel for
  for (long t = 0; t < N; t++) {
    const bf *g = gu + t * 2 * F, *u = g + F, *d = dy + t * F; bf *o = dgu + t * 2 * F;
    for (long i = 0; i < F; i++) {
      float a = up(g[i]), s = 1 / (1 + expf(-a)), e = up(d[i]);
      o[i] = down(e * up(u[i]) * s * (1 + a * (1 - s)));
      o[i + F] = down(e * a * s);
    }
  }
}
// logits [N, V] become the gradient of scale * sum(w * cross entropy + z * logsumexp^2); loss[t] the plain cross
// entropy, hit[t] whether the argmax was right. w may be null (all 1); a weight of 0 skips the row.
void cross_entropy(bf *logits, const int64_t *y, const float *w, float *loss, uint8_t *hit, long N, long V, float scale,
                   float zreg) {
#pragma omp parallel for
  for (long t = 0; t < N; t++) {
    bf *z = logits + t * V; float m = -1e30f, sum = 0; float e[16384]; float k = w ? w[t] : 1.0f;
    if (k == 0) { memset(z, 0, V * 2); loss[t] = 0; hit[t] = 0; continue; }
    for (long j = 0; j < V; j++) { float v = up(z[j]); m = v > m ? v : m; }
    for (long j = 0; j < V; j++) { e[j] = expf(up(z[j]) - m); sum += e[j]; }
    float lse = m + logf(sum), own = up(z[y[t]]);
    loss[t] = lse - own; hit[t] = own >= m;
    float c = k * scale, f = c * (1 + 2 * zreg * lse) / sum;
    float pt = e[y[t]];
    for (long j = 0; j < V; j++) z[j] = down(e[j] * f);
    z[y[t]] = down(pt * f - c);
  }
}
// x[n] = float(table[ids[n]])
void gather(const float *table, const int64_t *ids, float *x, long N, long D) {
#pragma omp parallel for
  for (long t = 0; t < N; t++) memcpy(x + t * D, table + ids[t] * D, D * 4);
}
// grad[ids[n]] += dx[n]
void scatter_add(float *grad, const int64_t *ids, const float *dx, long N, long D) {
#pragma omp parallel for schedule(static)
  for (long half = 0; half < 2; half++) {
    long a = half * (D / 2), b = half ? D : D / 2;
    for (long t = 0; t < N; t++) { float *g = grad + ids[t] * D; const float *d = dx + t * D; for (long i = a; i < b; i++) g[i] += d[i]; }
  }
}
}

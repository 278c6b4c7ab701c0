// The machine's roof, for the benchmark: what multiply-adds in registers alone and a copy through memory reach. Prints JSON.
//   roof <threads>  ->  {"gflops": ..., "copyGBs": ...}
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vector __attribute__((vector_size(kBytes)));

constexpr int kAccumulators = 12;  // more than latency x units of any current core, and few enough to stay in registers
constexpr long kRounds = 4'000'000;
constexpr std::size_t kCopyBytes = std::size_t{128} << 20;  // a thread's, far beyond the caches
constexpr int kRepeats = 5;

volatile float sink;

void multiply_add() {
  Vector sums[kAccumulators], factor = {}, term = {};
  factor += 0.999f + sink;
  term += 1e-3f + sink;
  for (int j = 0; j < kAccumulators; ++j) sums[j] = term * static_cast<float>(j);
  for (long i = 0; i < kRounds; ++i) {
    for (Vector& sum : sums) sum = sum * factor + term;
  }
  Vector total = {};
  for (const Vector& sum : sums) total += sum;
  sink = total[0] * 0;
}

double seconds(int threads, const std::function<void(int)>& body) {
  double best = 1e9;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(body, t);
    body(0);
    for (std::thread& other : others) other.join();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const double arithmetic = seconds(threads, [](int) { multiply_add(); });
  const double flops = 2.0 * threads * kRounds * kAccumulators * (kBytes / sizeof(float));

  std::vector<std::vector<char>> from(threads), to(threads);
  for (auto& buffer : from) buffer.assign(kCopyBytes, 1);
  for (auto& buffer : to) buffer.assign(kCopyBytes, 2);
  const double copy = seconds(threads, [&](int t) { std::memcpy(to[t].data(), from[t].data(), kCopyBytes); });
  std::printf("{\"gflops\": %.1f, \"copyGBs\": %.2f}\n", flops / arithmetic / 1e9, 2.0 * threads * kCopyBytes / copy / 1e9);
}

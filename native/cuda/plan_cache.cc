// The plan files: the key's text, a line end, the plan. Written aside and renamed, so that a reader never sees half of one.
#include "plan_cache.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <system_error>

namespace partialconv::cuda {
namespace fs = std::filesystem;

namespace {

// Of the graphs that plan.cc builds for a shape: another one where they compute something else, so that older files are of no use.
constexpr const char* kGraphs = " graphs 2";

}  // namespace

std::string PlanKey::text() const {
  return shape.text() + " cudnn " + std::to_string(cudnn) + " driver " + std::to_string(driver) + " gpu " + gpu + kGraphs;
}

std::string PlanStore::default_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/partialconv";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home != '\0' ? std::string(home) + "/.cache/partialconv" : std::string();
}

std::string PlanStore::file_of(const std::string& text) const {
  uint64_t hash = 14695981039346656037u;  // FNV-1a: the name only; the text inside decides
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  char name[32];
  std::snprintf(name, sizeof name, "%016llx.plan", static_cast<unsigned long long>(hash));
  return folder_ + "/" + name;
}

std::optional<std::string> PlanStore::load(const PlanKey& key) const {
  if (folder_.empty()) return std::nullopt;
  std::ifstream in(file_of(key.text()), std::ios::binary);
  std::string text;
  if (!in || !std::getline(in, text) || text != key.text()) return std::nullopt;
  std::string plan{std::istreambuf_iterator<char>(in), {}};
  if (plan.empty()) return std::nullopt;
  return plan;
}

bool PlanStore::save(const PlanKey& key, const std::string& plan) const {
  if (folder_.empty()) return false;
  std::error_code error;
  fs::create_directories(folder_, error);
  const std::string file = file_of(key.text()), aside = file + "." + std::to_string(std::random_device{}());
  std::ofstream out(aside, std::ios::binary);
  out << key.text() << '\n' << plan;
  out.close();
  if (out) fs::rename(aside, file, error);
  if (out && !error) return true;
  fs::remove(aside, error);
  return false;
}

void PlanStore::remove(const PlanKey& key) const {
  std::error_code error;
  if (!folder_.empty()) fs::remove(file_of(key.text()), error);
}

}  // namespace partialconv::cuda

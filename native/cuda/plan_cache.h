// Plans that were made before: the most recent ones in memory, serialized ones on disk.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "route.h"

namespace partialconv::cuda {

// What a plan depends on besides its shape. A serialized plan is good for exactly this.
struct PlanKey {
  Shape shape;
  std::size_t cudnn = 0;  // cudnnGetVersion()
  int driver = 0;
  std::string gpu;
  auto operator<=>(const PlanKey&) const = default;
  std::string text() const;
};

// The most recently used values, at most `capacity` of them.
template <class Key, class Value>
class Lru {
 public:
  explicit Lru(std::size_t capacity) : capacity_(capacity) {}

  Value* find(const Key& key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &entries_.front().second;
  }

  Value& put(const Key& key, Value value) {
    erase(key);
    if (dropped_.erase(key) != 0) ++returned_;
    entries_.emplace_front(key, std::move(value));
    places_[key] = entries_.begin();
    if (entries_.size() > capacity_) {
      dropped_.insert(entries_.back().first);
      if (dropped_.size() > 4 * capacity_) dropped_.clear();
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

  void erase(const Key& key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return;
    entries_.erase(found->second);
    places_.erase(found);
  }

  std::size_t size() const { return entries_.size(); }
  // Values made again after they had been dropped: many mean that capacity is too small for the shapes in use.
  std::size_t returned() const { return returned_; }

 private:
  std::size_t capacity_;
  std::list<std::pair<Key, Value>> entries_;  // the last used one first
  std::map<Key, typename std::list<std::pair<Key, Value>>::iterator> places_;
  std::set<Key> dropped_;
  std::size_t returned_ = 0;
};

// Serialized plans as files of a folder. A file that cannot be read or written is as good as none: the plan is made again.
class PlanStore {
 public:
  explicit PlanStore(std::string folder) : folder_(std::move(folder)) {}
  static std::string default_folder();  // below XDG_CACHE_HOME, else HOME's .cache; empty: nowhere

  std::optional<std::string> load(const PlanKey& key) const;
  bool save(const PlanKey& key, const std::string& plan) const;
  void remove(const PlanKey& key) const;

 private:
  std::string file_of(const std::string& text) const;
  std::string folder_;
};

}  // namespace partialconv::cuda

// Finds and opens libcudnn.so.9 and fills the function table.
#include "cudnn_api.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace partialconv::cudnn {
namespace {

constexpr const char* kLibrary = "libcudnn.so.9";

struct Library {
  Api api;
  bool usable = false;
  std::string path, absence;
};

void add_from(std::vector<std::string>& places, const char* variable, const std::vector<std::string>& below) {
  const char* root = std::getenv(variable);
  if (root == nullptr || *root == '\0') return;
  for (const std::string& folder : below) places.push_back(std::string(root) + folder + "/" + kLibrary);
}

// Where pip puts it, below a Python prefix.
std::vector<std::string> pip_folders() {
  std::vector<std::string> folders;
  for (int minor = 9; minor <= 15; ++minor) {
    folders.push_back("/lib/python3." + std::to_string(minor) + "/site-packages/nvidia/cudnn/lib");
  }
  return folders;
}

std::vector<std::string> places() {
  std::vector<std::string> all;
  add_from(all, "CUDNN_PATH", {"/lib", "/lib64", "/nvidia/cudnn/lib", ""});
  all.push_back(kLibrary);
  add_from(all, "CONDA_PREFIX", {"/lib"});
  for (const char* prefix : {"VIRTUAL_ENV", "CONDA_PREFIX"}) add_from(all, prefix, pip_folders());
  add_from(all, "CUDA_HOME", {"/lib64", "/lib"});
  return all;
}

template <class F>
void resolve(void* library, const char* name, F& function, std::string& missing) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr) missing += missing.empty() ? name : std::string(", ") + name;
}

std::string fill(void* library, Api& api) {
  std::string missing;
  resolve(library, "cudnnGetVersion", api.get_version, missing);
  resolve(library, "cudnnGetErrorString", api.get_error_string, missing);
  resolve(library, "cudnnGetLastErrorString", api.get_last_error_string, missing);
  resolve(library, "cudnnCreate", api.create, missing);
  resolve(library, "cudnnDestroy", api.destroy, missing);
  resolve(library, "cudnnSetStream", api.set_stream, missing);
  resolve(library, "cudnnBackendCreateDescriptor", api.create_descriptor, missing);
  resolve(library, "cudnnBackendDestroyDescriptor", api.destroy_descriptor, missing);
  resolve(library, "cudnnBackendFinalize", api.finalize, missing);
  resolve(library, "cudnnBackendSetAttribute", api.set_attribute, missing);
  resolve(library, "cudnnBackendGetAttribute", api.get_attribute, missing);
  resolve(library, "cudnnBackendExecute", api.execute, missing);
  return missing;
}

Library open() {
  Library found;
  for (const std::string& place : places()) {
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_GLOBAL);  // its parts look for each other's symbols
    if (library == nullptr) {
      found.absence += "\n  " + std::string(dlerror());
      continue;
    }
    const std::string missing = fill(library, found.api);
    const std::size_t version = missing.empty() ? found.api.get_version() : 0;
    if (missing.empty() && version >= kOldestVersion) {
      found.usable = true;
      found.path = place;
      found.absence.clear();
      return found;
    }
    found.absence +=
        "\n  " + place + (missing.empty() ? ": version " + version_text(version) + ", but 9.8 or later is needed" : ": lacks " + missing);
    dlclose(library);
  }
  found.absence =
      std::string("cuDNN 9 was not found; install it (pip install nvidia-cudnn-cu13), or set CUDNN_PATH to its folder. Tried:") +
      found.absence;
  return found;
}

const Library& library() {
  static const Library found = open();
  return found;
}

std::atomic<const Api*> replacement{nullptr};

}  // namespace

const Api* installed() { return library().usable ? &library().api : nullptr; }
const std::string& absence() { return library().absence; }
const std::string& library_path() { return library().path; }

const Api& api() {
  if (const Api* table = replacement.load(std::memory_order_acquire)) return *table;
  if (const Api* table = installed()) return *table;
  throw std::runtime_error(absence());
}

void use_api(const Api* table) { replacement.store(table, std::memory_order_release); }

}  // namespace partialconv::cudnn

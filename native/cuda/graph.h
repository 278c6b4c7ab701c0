// cuDNN's backend descriptors as C++ objects: create, set, finalize, read, execute. A status that is no success throws Failure
// with the call's name.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cudnn_api.h"

namespace partialconv::cudnn {

void check(Status status, const std::string& call);
inline bool unsupported(Status status) { return status >= kNotSupported && status < kNotSupported + 1000; }

// A backend descriptor. What others refer to must outlive their finalize().
class Object {
 public:
  explicit Object(DescriptorType type);
  ~Object();
  Object(Object&& other) noexcept;
  Object& operator=(Object&& other) noexcept;

  Object& set(Attribute attribute, AttributeType type, int64_t count, const void* values);
  Object& set(Attribute attribute, int64_t value) { return set(attribute, kTypeInt64, 1, &value); }
  Object& set(Attribute attribute, bool value) { return set(attribute, kTypeBoolean, 1, &value); }
  Object& set(Attribute attribute, DataType value) { return set(attribute, kTypeDataType, 1, &value); }
  Object& set(Attribute attribute, ConvolutionMode value) { return set(attribute, kTypeConvolutionMode, 1, &value); }
  Object& set(Attribute attribute, PointwiseMode value) { return set(attribute, kTypePointwiseMode, 1, &value); }
  Object& set(Attribute attribute, HeuristicsMode value) { return set(attribute, kTypeHeuristicsMode, 1, &value); }
  Object& set(Attribute attribute, Handle value) { return set(attribute, kTypeHandle, 1, &value); }
  Object& set(Attribute attribute, void* value) { return set(attribute, kTypePointer, 1, &value); }
  Object& set(Attribute attribute, const Object& value) { return set(attribute, kTypeDescriptor, 1, &value.descriptor_); }
  Object& set(Attribute attribute, std::span<const int64_t> values);
  Object& set(Attribute attribute, std::span<void* const> values);
  Object& set(Attribute attribute, std::span<const Descriptor> values, AttributeType type);
  Object& set(Attribute attribute, const std::string& text);
  // alpha = 1, beta = 0 of a convolution of double (or, else, of anything narrower)
  Object& set_scale(Attribute alpha, Attribute beta, bool is_double);

  Object& finalize();
  Status try_finalize();

  int64_t get_int64(Attribute attribute) const;
  std::string get_text(Attribute attribute) const;
  std::vector<int> get_enums(Attribute attribute, AttributeType type, int64_t room) const;
  Object get_object(Attribute attribute, DescriptorType type) const;
  // Fills the given objects, of the right type; returns how many there were.
  int64_t get_objects(Attribute attribute, std::span<Object> objects) const;

  Descriptor get() const { return descriptor_; }

 private:
  Descriptor descriptor_ = nullptr;
};

// Where a graph is planned: on a handle's GPU, or, without any GPU, for one that is described in JSON.
class Target {
 public:
  explicit Target(Handle handle) : handle_(handle) {}
  explicit Target(const std::string& device_json);

  void set(Object& object, std::optional<Attribute> handle_attribute, std::optional<Attribute> properties_attribute) const;
  Handle handle() const { return handle_; }

 private:
  Handle handle_ = nullptr;
  std::optional<Object> properties_;
};

}  // namespace partialconv::cudnn

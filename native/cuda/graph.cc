// The calls behind the descriptors.
#include "graph.h"

#include <utility>

#include "../failure.h"

namespace partialconv::cudnn {

void check(Status status, const std::string& call) {
  if (status == kSuccess) return;
  char message[512] = "";
  api().get_last_error_string(message, sizeof message);
  std::string reason = api().get_error_string(status);
  if (message[0] != '\0') reason += std::string(": ") + message;
  throw Failure(call, status, reason);
}

Object::Object(DescriptorType type) {
  check(api().create_descriptor(type, &descriptor_), "cudnnBackendCreateDescriptor(" + std::to_string(type) + ")");
}

Object::~Object() {
  if (descriptor_ != nullptr) api().destroy_descriptor(descriptor_);
}

Object::Object(Object&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}

Object& Object::operator=(Object&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

Object& Object::set(Attribute attribute, AttributeType type, int64_t count, const void* values) {
  check(api().set_attribute(descriptor_, attribute, type, count, values), "cudnnBackendSetAttribute(" + std::to_string(attribute) + ")");
  return *this;
}

Object& Object::set(Attribute attribute, std::span<const int64_t> values) {
  return set(attribute, kTypeInt64, static_cast<int64_t>(values.size()), values.data());
}

Object& Object::set(Attribute attribute, std::span<void* const> values) {
  return set(attribute, kTypePointer, static_cast<int64_t>(values.size()), values.data());
}

Object& Object::set(Attribute attribute, std::span<const Descriptor> values, AttributeType type) {
  return set(attribute, type, static_cast<int64_t>(values.size()), values.data());
}

Object& Object::set(Attribute attribute, const std::string& text) {
  return set(attribute, kTypeChar, static_cast<int64_t>(text.size()), text.data());
}

Object& Object::set_scale(Attribute alpha, Attribute beta, bool is_double) {
  if (is_double) {
    const double one = 1, zero = 0;
    return set(alpha, kTypeDouble, 1, &one).set(beta, kTypeDouble, 1, &zero);
  }
  const float one = 1, zero = 0;
  return set(alpha, kTypeFloat, 1, &one).set(beta, kTypeFloat, 1, &zero);
}

Status Object::try_finalize() { return api().finalize(descriptor_); }

Object& Object::finalize() {
  check(try_finalize(), "cudnnBackendFinalize");
  return *this;
}

int64_t Object::get_int64(Attribute attribute) const {
  int64_t value = 0, count = 0;
  check(api().get_attribute(descriptor_, attribute, kTypeInt64, 1, &count, &value),
        "cudnnBackendGetAttribute(" + std::to_string(attribute) + ")");
  return value;
}

std::string Object::get_text(Attribute attribute) const {
  const std::string call = "cudnnBackendGetAttribute(" + std::to_string(attribute) + ")";
  int64_t size = 0;
  check(api().get_attribute(descriptor_, attribute, kTypeChar, 0, &size, nullptr), call);
  std::string text(static_cast<std::size_t>(size), '\0');
  check(api().get_attribute(descriptor_, attribute, kTypeChar, size, &size, text.data()), call);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::vector<int> Object::get_enums(Attribute attribute, AttributeType type, int64_t room) const {
  std::vector<int> values(static_cast<std::size_t>(room));
  int64_t count = 0;
  check(api().get_attribute(descriptor_, attribute, type, room, &count, values.data()),
        "cudnnBackendGetAttribute(" + std::to_string(attribute) + ")");
  values.resize(static_cast<std::size_t>(count < room ? count : room));
  return values;
}

Object Object::get_object(Attribute attribute, DescriptorType type) const {
  Object object(type);
  int64_t count = 0;
  check(api().get_attribute(descriptor_, attribute, kTypeDescriptor, 1, &count, &object.descriptor_),
        "cudnnBackendGetAttribute(" + std::to_string(attribute) + ")");
  return object;
}

int64_t Object::get_objects(Attribute attribute, std::span<Object> objects) const {
  std::vector<Descriptor> descriptors;
  for (const Object& object : objects) descriptors.push_back(object.descriptor_);
  int64_t count = 0;
  check(api().get_attribute(descriptor_, attribute, kTypeDescriptor, static_cast<int64_t>(descriptors.size()), &count, descriptors.data()),
        "cudnnBackendGetAttribute(" + std::to_string(attribute) + ")");
  return count;
}

Target::Target(const std::string& device_json) {
  properties_.emplace(kDeviceProperties);
  properties_->set(kDevicePropertiesJson, device_json).finalize();
}

void Target::set(Object& object, std::optional<Attribute> handle_attribute, std::optional<Attribute> properties_attribute) const {
  if (properties_ && properties_attribute) object.set(*properties_attribute, *properties_);
  else if (!properties_ && handle_attribute) object.set(*handle_attribute, handle_);
}

}  // namespace partialconv::cudnn

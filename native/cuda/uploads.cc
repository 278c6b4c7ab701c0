// Pieces in pinned memory, each with an event behind its copy; what has arrived makes room for the next.
#include "uploads.h"

#include <algorithm>
#include <cstring>

#include "memory.h"
#include "quietly.h"

namespace partialconv::cuda {
namespace {

constexpr std::size_t kPiece = std::size_t{16} << 20;  // bytes copied at once: the next are written to pinned memory meanwhile
constexpr std::size_t kMostInFlight = 4 * kPiece;

}  // namespace

void Uploads::copy(void* to, const void* host, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  for (std::size_t at = 0; at < bytes; at += kPiece) {
    const std::size_t piece = std::min(kPiece, bytes - at);
    make_room(piece);
    copy_piece(static_cast<unsigned char*>(to) + at, static_cast<const unsigned char*>(host) + at, piece);
  }
}

void Uploads::make_room(std::size_t bytes) {
  while (!flights_.empty() && done(flights_.front().event)) land();
  while (!flights_.empty() && in_flight_ + bytes > kMostInFlight) {
    wait(flights_.front().event);
    land();
  }
}

void Uploads::copy_piece(void* to, const void* host, std::size_t bytes) {
  const Stream stream = memory_.stream();
  Flight flight{memory_.take_pinned(bytes), bytes, nullptr};
  try {
    std::memcpy(flight.pinned, host, bytes);
    flight.event = create_event();
    copy_to_device(to, flight.pinned, bytes, stream);
    record(flight.event, stream);
    flights_.push_back(flight);
  } catch (...) {
    quietly([&] { synchronize(stream); });  // the copy may be under way
    if (flight.event != nullptr) quietly([&] { destroy_event(flight.event); });
    memory_.give_back_pinned(flight.pinned, bytes);
    throw;
  }
  in_flight_ += bytes;
}

void Uploads::land() noexcept {
  const Flight flight = flights_.front();
  flights_.pop_front();
  in_flight_ -= flight.bytes;
  quietly([&] { destroy_event(flight.event); });
  memory_.give_back_pinned(flight.pinned, flight.bytes);
}

void Uploads::finish() noexcept {
  while (!flights_.empty()) land();
}

}  // namespace partialconv::cuda

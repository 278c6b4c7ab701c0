// GPUs described for cuDNN's planner, so that plans can be made for them on a machine without any.
#pragma once

#include <string>
#include <vector>

struct DescribedDevice {
  const char* name;
  int version, multiprocessors, shared_optin, threads_per_sm, blocks_per_sm;
  long l2_bytes, clock_khz, memory_khz;
  double memory_bytes;

  std::string json() const {
    std::string text = "{";
    const auto add = [&](const char* key, const std::string& value) {
      text += std::string(text.size() > 1 ? "," : "") + "\"" + key + "\":" + value;
    };
    const auto number = [&](const char* key, long value) { add(key, std::to_string(value)); };
    add("deviceName", std::string("\"") + name + "\"");
    number("cudaDeviceId", 0);
    number("deviceVer", version);
    number("multiProcessorCount", multiprocessors);
    number("driverVer", 13000);
    add("maxGridSize", "[2147483647,65535,65535]");
    add("maxBlockSize", "[1024,1024,64]");
    number("regsPerBlock", 65536);
    number("smClockRateKHz", clock_khz);
    number("memClockRateKHz", memory_khz);
    number("l2CacheSize", l2_bytes);
    number("warpSize", 32);
    number("maxSharedMemoryPerBlock", 49152);
    number("maxSharedMemoryPerBlockOptin", shared_optin);
    number("reservedSharedMemoryPerBlock", 1024);
    number("maxRegistersPerSM", 65536);
    number("pciDeviceId", 0);
    number("maxCtasPerSM", blocks_per_sm);
    number("maxThreadsPerBlock", 1024);
    number("maxThreadsPerSM", threads_per_sm);
    number("isTccDriver", 0);
    number("supportCoopLaunch", 1);
    number("totalGlobalMem", static_cast<long>(memory_bytes));
    return text + "}";
  }
};

inline const std::vector<DescribedDevice>& described_devices() {
  static const std::vector<DescribedDevice> devices = {
      {"NVIDIA H200", 900, 132, 232448, 2048, 32, 62914560, 1980000, 3201000, 150.1e9},
      {"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 2048, 32, 41943040, 1410000, 1593000, 85.0e9},
      {"NVIDIA L4", 890, 58, 101376, 1536, 24, 50331648, 2040000, 6251000, 23.7e9},
      {"NVIDIA B200", 1000, 148, 232448, 2048, 32, 132644864, 1965000, 3996000, 191.5e9},
  };
  return devices;
}

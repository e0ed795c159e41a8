// Stores without a disk behind them: null swallows writes and reads as zeros, ram keeps everything in memory.
#pragma once
#include "core/store/store.h"

namespace iscsi::store {

// tgt's null: 1 TB that holds nothing, to measure everything but the disk.
std::shared_ptr<Store> make_null(const std::string& path);

// A sparse anonymous mapping. Overlapping writes of several loops at once race as they would on a disk: each byte is
// from one of them.
Result<std::shared_ptr<Store>> make_ram(const std::string& path, uint64_t size);

}  // namespace iscsi::store

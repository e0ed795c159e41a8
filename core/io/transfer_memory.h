// Memory for transfers that wait for a disk: one arena of pages per loop, so that O_DIRECT takes it as it is and io_uring can have
// it registered (no page is looked up and pinned per request). What finds no room there gets pages of its own.
#pragma once
#include <bitset>
#include <memory>

#include "core/base/bytes.h"

namespace iscsi::io {

class TransferMemory {
public:
    static constexpr size_t page = 4096, pages = 1024;

    // Address space only: a page is resident once it is used (or registered). nullptr: none to be had.
    static std::shared_ptr<TransferMemory> create();
    ~TransferMemory();
    TransferMemory(const TransferMemory&) = delete;
    TransferMemory& operator=(const TransferMemory&) = delete;

    // `size` bytes, > 0, page aligned, not cleared; given back with the last reference, on the loop's thread. `memory` may be
    // nullptr.
    static std::shared_ptr<MutableBytes> take(const std::shared_ptr<TransferMemory>& memory, size_t size);
    MutableBytes arena() const { return {base_, pages * page}; }

private:
    explicit TransferMemory(uint8_t* base) : base_(base) {}
    size_t find(size_t count);          // a run of free pages; `pages` if there is none

    uint8_t* base_;
    std::bitset<pages> used_;
    size_t next_ = 0;
};

}  // namespace iscsi::io

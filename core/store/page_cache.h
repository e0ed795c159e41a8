// Whether a range of a file is in the page cache, so that the kernel can send it without waiting for a disk: mincore(2) over a
// mapping that nobody touches. It looks at the page cache, never at the disk. A page evicted between that look and the
// send stalls one send; it cannot be wrong. The mapping is address space only, as much as the medium is long; where that is short
// (32 bits and a medium over 256 MiB, `ulimit -v`) nothing is held, and reads are copied.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace iscsi::store {

class PageCache {
public:
    PageCache() = default;
    ~PageCache();
    PageCache(const PageCache&) = delete;
    PageCache& operator=(const PageCache&) = delete;

    // All of [offset, offset + length) of `fd`, bytes; at most 4 MiB. `size` is the file's now: the range lies inside.
    bool holds(int fd, uint64_t size, uint64_t offset, size_t length);
    // Lets go of the file; holds nothing from then on.
    void forget();

private:
    struct Area {
        uint8_t* base = nullptr;
        size_t length = 0;
    };
    const Area* cover(int fd, uint64_t size, uint64_t end);

    std::atomic<const Area*> current_{nullptr};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::vector<std::unique_ptr<Area>> areas_;      // the last is current; other threads may still look at an older one
};

}  // namespace iscsi::store

#include "core/store/page_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace iscsi::store {
namespace {
constexpr uint64_t page = 4096;                     // granularity of the checks; a larger page only makes them redundant
constexpr size_t most = 4u << 20;                   // longest range
constexpr uint64_t longest = sizeof(void*) > 4 ? uint64_t(1) << 45 : uint64_t(256) << 20;      // medium; on 32 bits address space is dear
constexpr size_t headroom = size_t(512) << 20;      // address space that a mapping leaves for all else: threads, buffers

// Whether so much address space is free. Other media have mappings, too, and `ulimit -v` may set a bound on all: what has to be
// allocated must not fail because of what is but looked at.
bool room_left() {
    void* p = ::mmap(nullptr, headroom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    ::munmap(p, headroom);
    return true;
}
}  // namespace

PageCache::~PageCache() {
    for (auto& area : areas_) ::munmap(area->base, area->length);
}

const PageCache::Area* PageCache::cover(int fd, uint64_t size, uint64_t end) {
    const Area* area = current_.load(std::memory_order_acquire);
    if (area && end <= area->length) return area;
    if (failed_.load(std::memory_order_relaxed) || size > longest || size < end) return nullptr;
    std::lock_guard lock(mutex_);
    area = current_.load(std::memory_order_relaxed);
    if (area && end <= area->length) return area;
    void* p = ::mmap(nullptr, size_t(size), PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED && !room_left()) {
        ::munmap(p, size_t(size));
        p = MAP_FAILED;
    }
    if (p == MAP_FAILED) {
        failed_.store(true, std::memory_order_relaxed);
        return nullptr;
    }
    areas_.push_back(std::make_unique<Area>(Area{static_cast<uint8_t*>(p), size_t(size)}));
    current_.store(areas_.back().get(), std::memory_order_release);
    return areas_.back().get();
}

bool PageCache::holds(int fd, uint64_t size, uint64_t offset, size_t length) {
    if (length == 0 || length > most) return false;
    const Area* area = cover(fd, size, offset + length);
    if (!area) return false;
    const uint64_t first = offset & ~(page - 1);
    const size_t pages = size_t((offset + length - first + page - 1) / page);
    unsigned char state[most / page + 1];
    // mincore wants the system's page size; where that is larger than 4 KiB it answers per larger page, and the bytes of
    // `state` it does not fill stay 1.
    std::memset(state, 1, pages);
    uint8_t* begin = area->base + first;
    const auto system_page = uint64_t(::sysconf(_SC_PAGESIZE));
    begin -= uint64_t(begin - area->base) % system_page;
    if (::mincore(begin, size_t(area->base + offset + length - begin), state) != 0) return false;
    return std::all_of(state, state + pages, [](unsigned char s) { return s & 1; });
}

void PageCache::forget() {
    std::lock_guard lock(mutex_);
    failed_.store(true, std::memory_order_relaxed);
    for (auto& area : areas_)
        ::mmap(area->base, area->length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

}  // namespace iscsi::store

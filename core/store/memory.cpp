#include "core/store/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>

namespace iscsi::store {
namespace {

// Owns a private anonymous mapping.
class Pages {
public:
    Pages() = default;
    explicit Pages(size_t size, int protection = PROT_READ | PROT_WRITE) {
        void* p = ::mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p != MAP_FAILED) data_ = static_cast<uint8_t*>(p), size_ = size;
    }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages() {
        if (data_) ::munmap(data_, size_);
    }
    uint8_t* data() const { return data_; }
    size_t size() const { return size_; }

private:
    uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

class Null final : public Store {
public:
    explicit Null(const std::string& path) : path_(path) {}
    const char* type_name() const override { return "null"; }
    const std::string& path() const override { return path_; }
    uint64_t size() const override { return uint64_t(1) << 40; }
    Capabilities capabilities() const override {
        Capabilities c;
        c.can_unmap = true;
        return c;
    }
    ssize_t try_read(MutableBytes into, uint64_t) override {
        std::memset(into.data(), 0, into.size());
        return ssize_t(into.size());
    }
    ssize_t try_write(Bytes from, uint64_t) override { return ssize_t(from.size()); }
    int perform(Request& r) override {
        if (r.op == Op::read) std::memset(r.data.data(), 0, r.data.size());
        return 0;
    }
    // All reads are answered from one stretch of the kernel's zero page.
    MutableBytes map(uint64_t, size_t length, bool for_write) override {
        if (for_write || length > zeros_.size()) return {};
        return {zeros_.data(), length};
    }
    Extent extent_at(uint64_t, uint64_t limit) override { return {limit, false}; }

private:
    std::string path_;
    Pages zeros_{size_t(1) << 20, PROT_READ};
};

class Ram final : public Store {
public:
    Ram(const std::string& path, uint64_t size) : path_(path), pages_(size_t(size)), written_(size_t(size / page + 1)) {}
    bool usable() const { return pages_.data() && written_.data(); }
    const char* type_name() const override { return "ram"; }
    const std::string& path() const override { return path_; }
    uint64_t size() const override { return pages_.size(); }
    Capabilities capabilities() const override {
        Capabilities c;
        c.can_unmap = true;
        c.physical_block = 4096;
        return c;
    }
    ssize_t try_read(MutableBytes into, uint64_t offset) override {
        if (!inside(offset, into.size())) return -EIO;
        region_by_region(offset, into.size(), [&](uint64_t at, size_t n) {
            std::memcpy(into.data() + (at - offset), pages_.data() + at, n);
        });
        return ssize_t(into.size());
    }
    ssize_t try_write(Bytes from, uint64_t offset) override {
        if (!inside(offset, from.size())) return -EIO;
        mark(offset, from.size());
        region_by_region(offset, from.size(), [&](uint64_t at, size_t n) {
            std::memcpy(pages_.data() + at, from.data() + (at - offset), n);
        });
        return ssize_t(from.size());
    }
    int perform(Request& r) override {
        switch (r.op) {
        case Op::read: return try_read(r.data, r.offset) < 0 ? EIO : 0;
        case Op::write: return try_write(r.data, r.offset) < 0 ? EIO : 0;
        case Op::unmap:
        case Op::zero: return clear(r.offset, r.length);
        case Op::flush:
        case Op::work: break;
        }
        return 0;
    }
    MutableBytes map(uint64_t offset, size_t length, bool for_write) override {
        if (!inside(offset, length)) return {};
        if (for_write) mark(offset, length);
        return {pages_.data() + offset, length};
    }
    Extent extent_at(uint64_t offset, uint64_t limit) override {
        limit = std::min(limit, size() > offset ? size() - offset : 0);
        uint64_t at = offset - offset % page, end = offset + limit;
        bool first = written(at);
        for (at += page; at < end && written(at) == first;) at += page;
        return {std::min(at, end) - offset, first};
    }

private:
    static constexpr uint64_t page = 4096;
    bool inside(uint64_t offset, uint64_t length) const { return offset <= size() && length <= size() - offset; }
    std::atomic_ref<uint8_t> flag(uint64_t at) const { return std::atomic_ref<uint8_t>(written_.data()[at / page]); }
    bool written(uint64_t at) const { return flag(at).load(std::memory_order_relaxed) != 0; }
    void mark(uint64_t offset, uint64_t length) {
        for (uint64_t at = offset - offset % page; at < offset + length; at += page)
            flag(at).store(1, std::memory_order_relaxed);
    }
    int clear(uint64_t offset, uint64_t length) {
        if (!inside(offset, length)) return EIO;
        uint64_t end = offset + length;
        uint64_t first = std::min(end, (offset + page - 1) / page * page), last = std::max(first, end / page * page);
        auto zero = [&](uint64_t from, uint64_t to) {
            region_by_region(from, size_t(to - from), [&](uint64_t at, size_t n) { std::memset(pages_.data() + at, 0, n); });
        };
        zero(offset, first);
        for (uint64_t at = first; at < last; at += page) flag(at).store(0, std::memory_order_relaxed);
        if (last > first && ::madvise(pages_.data() + first, last - first, MADV_DONTNEED) != 0)
            zero(first, last);
        zero(last, end);
        return 0;
    }
    // Commands that overlap may run on several threads at once; a lock per region keeps that a race of theirs, not of C++.
    template <class F>
    void region_by_region(uint64_t offset, size_t length, F touch) {
        for (uint64_t at = offset, end = offset + length; at < end;) {
            size_t n = size_t(std::min(end, (at / region + 1) * region) - at);
            std::lock_guard lock(locks_[at / region % locks_.size()]);
            touch(at, n);
            at += n;
        }
    }
    static constexpr uint64_t region = 1 << 20;
    std::array<std::mutex, 16> locks_;
    std::string path_;
    Pages pages_;
    Pages written_;         // a byte for each page: not a hole
};

}  // namespace

std::shared_ptr<Store> make_null(const std::string& path) { return std::make_shared<Null>(path); }

Result<std::shared_ptr<Store>> make_ram(const std::string& path, uint64_t size) {
    auto ram = std::make_shared<Ram>(path, size);
    if (!ram->usable()) return Error{ENOMEM, "allocate ram disk", path};
    return std::shared_ptr<Store>(ram);
}

}  // namespace iscsi::store

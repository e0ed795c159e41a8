// A regular file or block device, through the page cache (rdwr) or past it (aio, bsoflags direct).
//
// Who does what where:
//   reads    try_read asks the page cache with RWF_NOWAIT; what is not there goes to the engine. tmpfs knows no NOWAIT but
//            never waits; other file systems without it (FUSE, NFS ...) always go to the engine.
//   writes   a buffered pwrite copies into the page cache and is as cheap as a read, unless the kernel makes the
//            writer wait: to read the rest of a page (looked for first: `edges_cached`), for the journal (seen by its
//            time: a write over `slow_write` sends all writes to the engine for `slow_rest`), or to throttle a
//            writer that dirties pages faster than the disk takes them (prevented by write-behind, below). So a
//            loop writes by itself while the file behaves, and one hiccup costs it one hiccup.
//   direct   always the engine. What is not aligned as O_DIRECT wants it goes through an aligned buffer here.
//
// Write-behind: `dirty_` counts bytes since write-back was last asked for. At `low_` (a 64th of the memory: the kernel
// itself starts at a tenth and throttles above that) one write is refused to the loop; the thread that carries it out
// also starts write-back of the file, after waiting for the round before. At 3 x low_ all writes go to the threads
// until that is done: back-pressure then comes from there, not from a stalled loop.
#pragma once
#include <atomic>
#include <shared_mutex>

#include "core/base/fd.h"
#include "core/store/page_cache.h"
#include "core/store/store.h"

namespace iscsi::store {

class File final : public Store {
public:
    static constexpr size_t page_alignment = 4096;
    static Result<std::shared_ptr<Store>> open(const char* type, const std::string& path, const OpenOptions& options,
                                               bool direct);

    const char* type_name() const override { return type_; }
    const std::string& path() const override { return path_; }
    uint64_t size() const override { return size_.load(std::memory_order_relaxed); }
    Capabilities capabilities() const override;
    ssize_t try_read(MutableBytes into, uint64_t offset) override;
    ssize_t try_write(Bytes from, uint64_t offset) override;
    int perform(Request& request) override;
    int fd() const override { return fd_.get(); }
    bool direct() const override { return direct_; }
    int fd_for(const Request& request) const override;
    void done_through_fd(const Request& request) override;
    FileRange in_file(uint64_t offset, size_t length) override;
    bool splices(uint64_t offset, size_t length) override;
    ssize_t try_splice(int pipe, size_t length, uint64_t offset) override;
    Extent extent_at(uint64_t offset, uint64_t limit) override;
    bool refresh_size() override;
    void prefetch(uint64_t offset, uint64_t length) override;
    void retire() override;

private:
    File() = default;
    void learn_medium();
    uint64_t look_at_size() const;
    bool inside(uint64_t offset, uint64_t length) const;
    bool aligned(const Request& request) const;
    bool edges_cached(uint64_t offset, size_t length);
    bool cached(uint64_t offset);
    bool writes_rest() const;
    bool room_for_dirty() const;
    bool sendable(uint64_t offset);
    template <class Move>
    ssize_t write_now(uint64_t offset, size_t length, Move&& move);
    void note_write(size_t bytes);
    void write_behind();

    int read_all(Request& request);
    int write_all(Request& request);
    int direct_io(Request& request);
    int flush();
    int unmap(uint64_t offset, uint64_t length);
    int zero(uint64_t offset, uint64_t length);
    int write_zeros(uint64_t offset, uint64_t length);

    const char* type_ = "";
    std::string path_;
    Fd fd_;
    std::atomic<uint64_t> size_{0};
    bool device_ = false;               // a block device
    bool in_memory_ = false;            // tmpfs, ramfs: I/O never waits for a disk
    bool direct_ = false;
    bool sync_ = false;
    bool read_only_ = false;
    bool may_look_ = false;             // into the page cache
    enum class Answer : uint8_t { unknown, yes, no };
    std::atomic<Answer> sendable_{Answer::unknown};
    uint32_t block_size_ = 512;         // the logical unit's
    uint32_t alignment_ = 1;            // direct: of offsets, lengths and memory
    uint32_t preferred_block_ = 0;      // st_blksize
    std::atomic<bool> nowait_{true};    // RWF_NOWAIT has not been refused
    std::atomic<bool> can_punch_{true}, can_zero_range_{true};
    PageCache cache_;

    uint64_t low_ = 0;
    std::atomic<uint64_t> dirty_{0};
    std::atomic<bool> writing_behind_{false};
    std::atomic<uint64_t> rest_until_ms_{0};
    std::shared_mutex unaligned_;       // direct: a read-modify-write excludes all writes
};

}  // namespace iscsi::store

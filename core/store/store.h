// What holds the blocks of a logical unit: a file, a block device, memory, nothing. Layers (read-only,
// a test store that sleeps) implement the same interface over another store.
//
// A store is shared by all loops. try_read/try_write never wait for a disk and are called on a loop's
// thread; what they refuse with -EAGAIN goes to an io::Engine, which calls perform() on a thread that may
// block (or hands fd() to io_uring). All offsets and lengths are bytes; the SCSI layer has already checked
// them against size() as it was when the command arrived, so a store that shrank meanwhile answers -EIO.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace iscsi::store {

enum class Op : uint8_t {
    read, write,
    flush,          // everything written before is durable when this completes (fdatasync)
    unmap,          // give the range back; reads as zeros afterwards
    zero,           // write zeros, allocated (WRITE SAME of zeros without UNMAP)
    work,           // call Request::work on a thread that may block (COMPARE AND WRITE, a state file ...)
};

struct Request;
using Completion = void (*)(Request&);

// One operation on its way. The submitter owns it and the bytes until `done` has been called, once, on the
// loop that submitted it. Embeds the engine's links so that queueing allocates nothing.
struct Request {
    Op op = Op::read;
    uint64_t offset = 0;            // bytes
    MutableBytes data;              // read: filled; write: source (not modified); others: unused
    uint64_t length = 0;            // bytes; equals data.size() for read and write
    int error = 0;                  // 0 or a positive errno; a short read or write is EIO
    Completion done = nullptr;
    int (*work)(Request&) = nullptr;    // Op::work: returns 0 or a positive errno
    void* owner = nullptr;          // the submitter's
    Request* next = nullptr;        // the engine's
    size_t progress = 0;            // bytes done so far, the engine's
};

// Part of a file whose descriptor stays valid while its store lives.
struct FileRange {
    int fd = -1;                    // -1: none
    uint64_t offset = 0;            // bytes
    explicit operator bool() const { return fd >= 0; }
};

struct Capabilities {
    bool read_only = false;         // opened so, or the medium is
    bool can_unmap = false;
    bool rotational = false;
    bool removable = false;
    uint32_t physical_block = 0;    // bytes; 0 unknown
    uint64_t optimal_transfer = 0;  // bytes; 0 unknown
};

// What GET LBA STATUS asks.
struct Extent {
    uint64_t length = 0;            // bytes, from the offset asked
    bool mapped = true;
};

class Store {
public:
    Store() = default;
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    virtual ~Store() = default;
    virtual const char* type_name() const = 0;      // as tgt's bstype: rdwr aio null ram
    virtual const std::string& path() const = 0;    // as given; empty if there is none
    virtual uint64_t size() const = 0;              // bytes; thread safe; changes when the medium grows
    virtual Capabilities capabilities() const = 0;

    // Bytes done (> 0), or -EAGAIN if it would have to wait, or -errno. A short count is allowed.
    virtual ssize_t try_read(MutableBytes into, uint64_t offset) { (void)into; (void)offset; return -EAGAIN; }
    virtual ssize_t try_write(Bytes from, uint64_t offset) { (void)from; (void)offset; return -EAGAIN; }
    // Whole operation, may block, any thread: 0 or a positive errno.
    virtual int perform(Request& request) = 0;

    // A plain descriptor that io_uring may read, write and fdatasync at the same offsets; -1 if there is none.
    virtual int fd() const { return -1; }
    // The same for one request: -1 if this one is perform()'s (O_DIRECT and unaligned, write-behind due).
    virtual int fd_for(const Request& request) const { (void)request; return fd(); }
    // fd() goes past the page cache.
    virtual bool direct() const { return false; }
    // A read, write or flush that was done through fd() without perform() has ended well.
    virtual void done_through_fd(const Request& request) { (void)request; }
    // The range will be read soon; may block briefly.
    virtual void prefetch(uint64_t offset, uint64_t length) { (void)offset; (void)length; }
    // The medium is taken out (another path was set): lets go of the file at once, although somebody may still hold this
    // object; what is in flight fails.
    virtual void retire() {}

    // Bytes [offset, offset + length) as memory that stays valid while the store lives and that can be sent from or
    // received into; empty if the store is not memory.
    virtual MutableBytes map(uint64_t offset, size_t length, bool for_write) { (void)offset; (void)length; (void)for_write; return {}; }

    // The same bytes as part of a file, which the kernel can send by itself (sendfile). None if that would wait for a disk.
    virtual FileRange in_file(uint64_t offset, size_t length) { (void)offset; (void)length; return {}; }
    // True if try_splice() is likely to take such a range, now.
    virtual bool splices(uint64_t offset, size_t length) { (void)offset; (void)length; return false; }
    // As try_write, of bytes that wait in a pipe; what it does not take stays in there.
    virtual ssize_t try_splice(int pipe, size_t length, uint64_t offset) { (void)pipe; (void)length; (void)offset; return -EAGAIN; }

    // The first extent at `offset`, of one allocation state, at most `limit` bytes; may block briefly.
    virtual Extent extent_at(uint64_t offset, uint64_t limit) { (void)offset; return {limit, true}; }

    // Looks at the medium's size again; true if it changed. Called now and then by the owner, any thread.
    virtual bool refresh_size() { return false; }
};

struct OpenOptions {
    bool read_only = false;
    bool sync = false;              // bsoflags sync: O_SYNC
    bool direct = false;            // bsoflags direct: O_DIRECT
    uint32_t block_size = 512;      // bytes, the logical unit's
    std::string options;            // bsopts
    uint64_t write_behind = 0;      // dirty bytes at which write-back is asked for; 0: by the memory there is
};

// bstype: rdwr, aio (file or block device; aio is O_DIRECT and takes no flags), null, ram (path is a size: "64M"). Opening a file read-write that
// may only be read falls back to read-only. Errors name the path.
Result<std::shared_ptr<Store>> open_store(const std::string& bstype, const std::string& path, const OpenOptions& options);
bool known_store_type(const std::string& bstype);


// What an engine's thread does with a request: perform(), or its work.
inline int run_blocking(Store& store, Request& request) {
    return request.op == Op::work ? request.work(request) : store.perform(request);
}

}  // namespace iscsi::store

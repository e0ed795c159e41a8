// One end of a copy: a logical unit (commands in flight on a session) or a file or block device (sent from the page cache;
// written by an engine, so that the disk and the network work at the same time). Offsets and lengths in bytes, multiples of block() except at the end of a file.
#pragma once
#include <memory>
#include <string>

#include "core/initiator/remote_lun.h"
#include "core/store/store.h"

namespace iscsi::initiator {

class CopySide;

// One operation. The caller's until `done` is called, which may be at once.
struct CopyOp {
    uint64_t offset = 0, length = 0;
    uint8_t* data = nullptr;
    bool mapped = true;                 // extent: what was found
    bool failed = false;
    std::string error;
    void (*done)(CopyOp&) = nullptr;
    void* owner = nullptr;
    // The side's:
    ScsiRequest request;
    uint64_t progress = 0, piece = 0;
    uint8_t kind = 0;
    unsigned attempts = 0;
    CopySide* side = nullptr;
    store::Request file;
};

class CopySide {
public:
    virtual ~CopySide() = default;
    virtual uint64_t size() const = 0;
    virtual uint32_t block() const = 0;
    virtual uint64_t max_transfer() const = 0;      // bytes of one read or write; 0: no limit
    virtual std::string name() const = 0;           // without secrets
    virtual std::string identity() const = 0;       // changes when it is another thing than last time (resuming)
    virtual bool is_remote() const = 0;
    virtual void read(CopyOp& op) = 0;
    virtual void write(CopyOp& op) = 0;
    virtual void zero(CopyOp& op) = 0;              // reads as zeros afterwards, without space where possible
    virtual void flush(CopyOp& op) = 0;
    // What lies at op.offset: sets `mapped` and cuts `length` to the extent's.
    virtual void extent(CopyOp& op) = 0;
    // These bytes as memory to send from without reading them into a buffer first; nullptr: read them. Only the kernel may
    // look at them (a file that is cut short is EFAULT there and SIGBUS here).
    virtual const uint8_t* borrow(uint64_t offset, uint64_t length) { (void)offset; (void)length; return nullptr; }
    // Sends without looking at the data itself (digests do).
    virtual bool sends_blindly() const { return false; }
};

Result<std::unique_ptr<CopySide>> open_remote_side(const Url& url, SessionConfig config, io::Loop& loop, bool write);
// `size`: that of a destination to make, or 0 for a source. `keep`: what a regular file holds is kept (resuming).
Result<std::unique_ptr<CopySide>> open_file_source(const std::string& path);
Result<std::unique_ptr<CopySide>> open_file_destination(const std::string& path, uint64_t size, bool keep, io::Loop& loop);

}  // namespace iscsi::initiator

// A direct-access block device (SBC-3) over a store.
#pragma once
#include "core/scsi/unit.h"

namespace iscsi::scsi {

struct DiskOptions {
    UnitIdentity identity;
    std::string bstype = "rdwr";
    std::string path;               // empty: a removable drive without medium, Online: No
    std::string flags;              // bsoflags: "", "sync", "direct", "sync:direct"
    std::string bsopts;
    uint32_t block_size = 512;      // a power of two, 512 at least; else 512 is taken, as tgt does
    bool read_only = false;         // opens the store so
};

class Disk final : public Unit {
public:
    // Fails if the store cannot be opened; the error names the path.
    static Result<std::shared_ptr<Disk>> create(const DiskOptions& options);
    // The same over a store that is open already (tests, ram disks).
    static std::shared_ptr<Disk> over(std::shared_ptr<store::Store> store, const DiskOptions& options);
    ~Disk() override;

    bool finish(Command& c) override;
    bool transfer(Chunk& chunk) override;
    MutableBytes in_place(Command& c, uint64_t position, size_t length) override;
    store::FileRange in_file(Command& c, uint64_t position, size_t length) override;
    bool splices(Command& c, uint64_t position, size_t length) override;
    ssize_t splice(Command& c, uint64_t position, int pipe, size_t length) override;

    Change set(std::string_view key, std::string_view value) override;
    UnitStatus status() const override;

    // Looks whether the medium grew or shrank; if so initiators get 2Ah/09h CAPACITY DATA HAS CHANGED. Cheap: call it
    // every few seconds for each disk. True if it changed.
    bool refresh_size() override;

    std::shared_ptr<store::Store> store() const;
    uint32_t block_size() const { return block_size_; }
    uint64_t blocks() const { return blocks_.load(std::memory_order_acquire); }

private:
    friend struct Handlers;

    Disk(const DiskOptions& options);
    void insert(std::shared_ptr<store::Store> store);   // with mutex_ held, or before anyone knows the disk
    Change change_path(const std::string& path);
    Change change_online(bool online);
    void add_caching_page(bool write_back);
    bool flush(Command& c);
    bool move(Chunk& chunk, store::Op op, uint64_t offset);
    int combine(Chunk& chunk, uint64_t offset);

    // The medium as the data path sees it: a plain pointer, because commands and chunks hold no reference. A medium
    // that was replaced is retired (its file closed) but stays in media_ while the disk lives.
    struct Medium {
        std::shared_ptr<store::Store> store;
    };
    // Only where there is one: not in the state no_medium.
    const Medium& medium() const { return *medium_.load(std::memory_order_acquire); }
    bool empty() const { return medium_.load(std::memory_order_acquire) == nullptr; }

    const DiskOptions options_;
    const uint32_t block_size_;
    const unsigned block_shift_;
    std::atomic<const Medium*> medium_{nullptr};
    std::vector<std::unique_ptr<const Medium>> media_;
    std::atomic<uint64_t> blocks_{0};
    bool read_only_asked_ = false;
    uint32_t physical_exponent_ = 0, lowest_aligned_ = 0;
    std::mutex rmw_;                // COMPARE AND WRITE and ORWRITE, one at a time, on worker threads
};

}  // namespace iscsi::scsi

// Stores over another store.
#pragma once
#include "core/store/store.h"

namespace iscsi::store {

// Passes everything on; a layer overrides what it changes.
class Layer : public Store {
public:
    explicit Layer(std::shared_ptr<Store> below) : below_(std::move(below)) {}
    const char* type_name() const override { return below_->type_name(); }
    const std::string& path() const override { return below_->path(); }
    uint64_t size() const override { return below_->size(); }
    Capabilities capabilities() const override { return below_->capabilities(); }
    ssize_t try_read(MutableBytes into, uint64_t offset) override { return below_->try_read(into, offset); }
    ssize_t try_write(Bytes from, uint64_t offset) override { return below_->try_write(from, offset); }
    int perform(Request& request) override { return below_->perform(request); }
    int fd() const override { return below_->fd(); }
    int fd_for(const Request& request) const override { return below_->fd_for(request); }
    bool direct() const override { return below_->direct(); }
    void done_through_fd(const Request& request) override { below_->done_through_fd(request); }
    void prefetch(uint64_t offset, uint64_t length) override { below_->prefetch(offset, length); }
    void retire() override { below_->retire(); }
    MutableBytes map(uint64_t offset, size_t length, bool for_write) override {
        return below_->map(offset, length, for_write);
    }
    FileRange in_file(uint64_t offset, size_t length) override { return below_->in_file(offset, length); }
    bool splices(uint64_t offset, size_t length) override { return below_->splices(offset, length); }
    ssize_t try_splice(int pipe, size_t length, uint64_t offset) override { return below_->try_splice(pipe, length, offset); }
    Extent extent_at(uint64_t offset, uint64_t limit) override { return below_->extent_at(offset, limit); }
    bool refresh_size() override { return below_->refresh_size(); }

protected:
    std::shared_ptr<Store> below_;
};

// Nothing gets written: every way in is closed here, whatever is above.
class ReadOnly final : public Layer {
public:
    using Layer::Layer;
    Capabilities capabilities() const override {
        Capabilities c = below_->capabilities();
        c.read_only = true;
        c.can_unmap = false;
        return c;
    }
    ssize_t try_write(Bytes, uint64_t) override { return -EROFS; }
    int perform(Request& request) override {
        bool harmless = request.op == Op::read || request.op == Op::flush;
        return harmless ? below_->perform(request) : EROFS;
    }
    int fd_for(const Request& request) const override {
        return request.op == Op::write ? -1 : below_->fd_for(request);
    }
    MutableBytes map(uint64_t offset, size_t length, bool for_write) override {
        return for_write ? MutableBytes{} : below_->map(offset, length, false);
    }
    bool splices(uint64_t, size_t) override { return false; }
    ssize_t try_splice(int, size_t, uint64_t) override { return -EROFS; }
};

}  // namespace iscsi::store

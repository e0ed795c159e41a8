// A store whose disk is slow, hung or broken, over another store.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "core/store/layers.h"

namespace iscsi::store {

class TestStore final : public Layer {
public:
    using Layer::Layer;
    std::atomic<bool> cold{false};          // try_read and try_write refuse
    std::atomic<int> read_error{0}, write_error{0}, flush_error{0};     // errno
    std::atomic<size_t> spliced{0};         // bytes that came by a pipe
    std::atomic<int> performed{0}, flushes{0}, stuck{0};

    // While it hangs, perform() does not return.
    void hang() { std::lock_guard lock(mutex_); hung_ = true; }
    void release() {
        { std::lock_guard lock(mutex_); hung_ = false; }
        changed_.notify_all();
    }

    ssize_t try_read(MutableBytes into, uint64_t offset) override {
        if (read_error) return -read_error;
        return cold ? -EAGAIN : below_->try_read(into, offset);
    }
    ssize_t try_write(Bytes from, uint64_t offset) override {
        if (write_error) return -write_error;
        return cold ? -EAGAIN : below_->try_write(from, offset);
    }
    int perform(Request& r) override {
        {
            std::unique_lock lock(mutex_);
            stuck++;
            changed_.wait(lock, [&] { return !hung_; });
            stuck--;
        }
        performed++;
        if (r.op == Op::flush) {
            flushes++;
            if (flush_error) return flush_error;
        }
        if (r.op == Op::read && read_error) return read_error;
        if ((r.op == Op::write || r.op == Op::zero || r.op == Op::unmap) && write_error) return write_error;
        return below_->perform(r);
    }
    int fd() const override { return -1; }
    int fd_for(const Request&) const override { return -1; }
    MutableBytes map(uint64_t offset, size_t length, bool for_write) override {
        if (cold || read_error || write_error) return {};
        return below_->map(offset, length, for_write);
    }
    FileRange in_file(uint64_t offset, size_t length) override {
        if (cold || read_error) return {};
        return below_->in_file(offset, length);
    }
    bool splices(uint64_t offset, size_t length) override { return !cold && below_->splices(offset, length); }
    ssize_t try_splice(int pipe, size_t length, uint64_t offset) override {
        if (write_error) return -write_error;
        if (cold) return -EAGAIN;
        ssize_t n = below_->try_splice(pipe, length, offset);
        if (n > 0) spliced += size_t(n);
        return n;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool hung_ = false;
};

}  // namespace iscsi::store

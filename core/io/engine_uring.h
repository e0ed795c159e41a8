// io_uring by its raw system calls: reads, writes and flushes on a store's descriptor, submitted in one call at the
// end of a wake-up; completions wake the loop through the ring's own descriptor. What a ring cannot do (unmap, work,
// an unaligned O_DIRECT piece) goes to the threads. The ring is made when first needed; where the kernel or a
// sandbox refuses it, everything goes to the threads.
#pragma once
#include <linux/io_uring.h>

#include <vector>

#include "core/io/engine_threads.h"

namespace iscsi::io {

// The shared rings of one io_uring instance (io_uring_setup(2)).
class Ring {
public:
    ~Ring();
    bool open(unsigned entries);
    int fd() const { return fd_.get(); }
    unsigned room() const;
    io_uring_sqe* next();               // nullptr if the submission queue is full
    int submit(unsigned wait_for);      // 0 or a negative errno
    bool register_buffer(MutableBytes buffer);      // as number 0
    unsigned unsubmitted() const { return queued_; }
    // The oldest completion, or nullptr; seen() lets go of it.
    const io_uring_cqe* peek() const;
    void seen();

private:
    Fd fd_;
    uint8_t* rings_ = nullptr;
    size_t rings_size_ = 0;
    io_uring_sqe* entries_ = nullptr;
    size_t entries_size_ = 0;
    io_uring_params params_{};
    unsigned queued_ = 0;
};

class UringEngine final : public Engine, Watcher {
public:
    UringEngine(Loop& loop, unsigned threads_per_store);
    ~UringEngine() override;
    void submit(const std::shared_ptr<store::Store>& store, store::Request& request) override;
    size_t in_flight() const override { return in_ring_ + threads_.in_flight() + waiting(); }
    void use_memory(MutableBytes arena) override { arena_ = arena; }
    bool has_ring() const { return state_ == State::open; }     // after the first submit

private:
    enum class State { untried, open, unavailable };
    struct Slot {
        std::shared_ptr<store::Store> store;
        store::Request* request = nullptr;
    };

    void on_ready(uint32_t events) override;
    bool ready();
    size_t waiting() const { return slots_.size() - free_.size() - in_ring_; }
    bool start(uint32_t slot);
    void push();
    void drain();
    void completed(uint32_t slot, int result);
    bool registered(Bytes data);

    Loop& loop_;
    ThreadEngine threads_;
    State state_ = State::untried;
    Ring ring_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
    std::vector<uint32_t> queue_;       // slots that wait for room in the ring, oldest first
    size_t in_ring_ = 0;
    MutableBytes arena_;
    enum class Registration : uint8_t { untried, done, refused } registration_ = Registration::untried;
    Deferred flush_;
};

}  // namespace iscsi::io

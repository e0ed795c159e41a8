// Long payloads that TCP sends out of our own memory (MSG_ZEROCOPY, Linux 4.14): one socket's. The kernel refers to the pages until
// the peer has acknowledged them and may read them again until then, so the memory is held until the socket's error queue says
// that the kernel is done. Where it had to copy all the same (loopback, veth, an interface without scatter/gather) it says so
// there, and that was the last try on this socket: a copy and a notification cost more than a copy.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace iscsi::io {

class Zerocopy {
public:
    // Below this, pinning pages and hearing of them costs more than the copy: instructions for 1 MiB read with O_DIRECT, e1000 in a
    // guest that counts them, copied and not: 32 KiB a piece 4.04 M and 4.16 M, 64 KiB 3.51 M and 3.66 M in tgtd, but 4.53 M and
    // 4.18 M in the whole guest; 1 MiB 1.90 M and 1.40 M. What the copy does to the caches is not in these.
    static constexpr size_t least = 64 * 1024;
    using Memory = std::shared_ptr<const void>;

    // Off, where the kernel does not have it. The socket's sends count from `first`: 0, but for tests.
    explicit Zerocopy(int socket, uint32_t first = 0);
    ~Zerocopy();
    Zerocopy(const Zerocopy&) = delete;
    Zerocopy& operator=(const Zerocopy&) = delete;
    // Is a long payload to go by send()? Not while the first one's fate is not known, nor while the kernel refuses more.
    bool wanted() const { return state_ == State::on || (state_ == State::trying && held_.empty()); }
    // Sends a piece of `memory`, `size` bytes, which nobody changes while anybody holds it; by a copy if that is better, or
    // `size` is 0: what the socket took, or -1 and errno, as send(2).
    ssize_t send(int socket, const iovec& piece, const Memory& memory, size_t size, int flags);
    // Takes one message off the socket's error queue; false: there was none.
    bool take_notification(int socket);

    size_t held_bytes() const { return held_bytes_; }       // of whole memories, however little of one is on its way
    uint32_t sends() const { return sends_; }
    bool off() const { return state_ == State::off; }

    // The two ends of it: a send that succeeded, and has the next number; the kernel is done with these, in any order.
    void sent(const Memory& memory, size_t size);
    void completed(uint32_t first, uint32_t last, bool copied);

private:
    // refused: on, but the kernel wants to hear the end of something first.
    enum class State : uint8_t { trying, on, refused, off };
    struct Held {
        Memory memory;                              // nullptr: done with, but not those before it
        size_t bytes;                               // that it answers for in held_bytes_
    };
    std::vector<Held> held_;                        // in order of their numbers
    uint32_t first_;                                // the number of the first
    size_t held_bytes_ = 0;
    uint32_t sends_ = 0;
    State state_ = State::trying;
};

}  // namespace iscsi::io

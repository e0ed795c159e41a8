// A connection's socket that is closed while the kernel may still send from memory that is ours (io::Zerocopy). What TCP sends
// again it reads again, and the peer would take other data for the answer to its command: nothing of that memory is used anew
// before the kernel has let go of it, and to hear of that the socket has to stay.
//
// It goes in two steps. First as close(2) would have it: FIN behind what is queued, RST to whoever sends more; so an answer to a
// Logout arrives, and within a round trip all is acknowledged. A peer that does not acknowledge has ServerOptions::linger_ms; then TCP forgets
// the queue (RST, by connect(2) to AF_UNSPEC: unlike SO_LINGER 0 with close(2) it leaves us the error queue), and only what the
// interface itself has not sent yet is waited for. How many linger, and for how much memory, is bounded by Worker::held_room().
#pragma once
#include <memory>

#include "core/base/fd.h"
#include "core/io/loop.h"
#include "core/io/zerocopy.h"

namespace iscsi::target {

class Worker;

class Lingering final : public io::Watcher {
public:
    // The worker is told when it is done with.
    Lingering(Worker& worker, Fd socket, std::unique_ptr<io::Zerocopy> zerocopy);
    ~Lingering();
    bool done() const { return zerocopy_->held_bytes() == 0; }
    Lingering(const Lingering&) = delete;
    Lingering& operator=(const Lingering&) = delete;
    std::unique_ptr<Lingering> next;                // the worker's

private:
    void on_ready(uint32_t events) override;
    void lose_patience();

    Worker& worker_;
    Fd socket_;
    std::unique_ptr<io::Zerocopy> zerocopy_;
    io::Timer timer_;
};

}  // namespace iscsi::target

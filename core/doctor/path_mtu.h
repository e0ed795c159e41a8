// Whether packets as large as the interface sends them get through to a portal. Two UDP datagrams that may not be fragmented,
// a small and a full-sized one, to a port where nobody listens: the host's "port unreachable" says that they arrived.
#pragma once
#include <functional>

#include "core/base/fd.h"
#include "core/io/address.h"
#include "core/io/loop.h"

namespace iscsi::doctor {

class PathMtu {
public:
    enum class Outcome : uint8_t { passes, lost, too_large, silent };       // lost: small ones arrive, full ones do not
    struct Answer {
        Outcome outcome = Outcome::silent;
        int mtu = 0;                    // of the interface, or with too_large what the path takes
    };
    using Done = std::function<void(const Answer&)>;

    // `done` is called once, from the loop. Destroying it cancels.
    PathMtu(io::Loop& loop, const io::Address& to, int mtu, Done done);

private:
    struct Shot final : io::Watcher {
        Shot(PathMtu& owner_, size_t size_) : owner(owner_), size(size_) {}
        ~Shot();
        void send();
        void on_ready(uint32_t) override;
        PathMtu& owner;
        Fd fd;
        size_t size;
        int error = 0;                  // ECONNREFUSED: it arrived; EMSGSIZE: a router refused it
    };
    void tick();
    void judge(bool last);

    io::Loop& loop_;
    io::Address to_;
    int mtu_;
    Done done_;
    unsigned tries_ = 0;
    bool over_ = false;
    Shot small_, full_;
    io::Timer timer_;
};

}  // namespace iscsi::doctor

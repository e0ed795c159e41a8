// tgtd's control socket: many tgtadms at once on the daemon's main loop, none of which can make it wait. A request is
// handed on whole; its answer may come later (a forced delete answers when the last session is gone).
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/io/loop.h"
#include "core/mgmt/tgt_protocol.h"

namespace iscsi::mgmt {

// The way back to who asked: a tgtadm on the socket, or a function in this process. Used on the loop only. Dropped without
// an answer, it answers "unknown error".
class TgtReply {
public:
    TgtReply() = default;
    explicit TgtReply(std::function<void(TgtAnswer)> answered) : answer_(std::move(answered)) {}
    TgtReply(const TgtReply&) = delete;
    TgtReply& operator=(const TgtReply&) = delete;
    ~TgtReply();
    // Once. `sent` runs when the answer is on its way (or its asker is gone).
    void answer(TgtAnswer answer, std::function<void()> sent = {});

private:
    friend class TgtServer;
    struct Client;
    std::weak_ptr<Client> client_;
    std::function<void(TgtAnswer)> answer_;
    bool answered_ = false;
};

using TgtHandler = std::function<void(const TgtRequest&, std::shared_ptr<TgtReply>)>;

class TgtServer final : io::Watcher {
public:
    struct Options {
        int control_port = 0;
        size_t max_clients = 64;            // more wait in the socket's backlog
        uint64_t request_ms = 10'000;       // for the whole request to arrive, and for the answer to be read
    };

    // Takes the lock PATH.lock, replaces a socket that nobody serves, listens. Fails if another tgtd has the lock.
    // Only the daemon's own uid and gid are served. The lock belongs to this process (fcntl): do not fork afterwards.
    static Result<std::unique_ptr<TgtServer>> create(io::Loop& loop, const Options& options, TgtHandler handler);
    // Serves a listening socket that systemd passed instead of an own one. The lock is taken all the same.
    static Result<std::unique_ptr<TgtServer>> adopt(io::Loop& loop, const Options& options, Fd listener, TgtHandler handler);
    ~TgtServer();
    const std::string& path() const { return path_; }

private:
    friend class TgtReply;
    TgtServer(io::Loop& loop, const Options& options, TgtHandler handler);
    Result<void> take_lock();
    Result<void> listen();
    Result<void> watch();
    void on_ready(uint32_t events) override;
    void accept_one();
    void drop(TgtReply::Client& client);
    void pause_when_full();

    io::Loop& loop_;
    Options options_;
    TgtHandler handler_;
    std::string path_;
    Fd lock_, listener_;
    bool watching_ = false;
    std::list<std::shared_ptr<TgtReply::Client>> clients_;
};

}  // namespace iscsi::mgmt

// A TCP connection to a portal, without blocking: the name is looked up, its addresses are tried in turn, all within one
// deadline. Options as open-iscsi sets them: TCP_NODELAY, both buffers before the connect, interface or source address.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "core/base/fd.h"
#include "core/io/loop.h"
#include "core/io/resolve.h"

namespace iscsi::initiator {

struct ConnectSettings {
    std::string host;
    uint16_t port = 3260;
    std::string bind_interface, bind_address;
    uint32_t buffer_size = 524288, type_of_service = 0;     // 0: the system's
    uint64_t timeout_ms = 15000;
};

struct ConnectFailure {
    bool unresolved = false;        // the name has no address
    int code = 0;                   // errno
    std::string text;               // "Connection refused"
};

// Destroying it cancels. `done` is called once, from the loop, never from within start().
class Connector : private io::Watcher {
public:
    using Done = std::function<void(Fd, const ConnectFailure&)>;
    Connector(io::Loop& loop, ConnectSettings settings, Done done);
    ~Connector();

private:
    void on_ready(uint32_t events) override;
    void try_next();
    void finish(Fd fd, ConnectFailure failure);
    Result<Fd> open_socket(const io::Address& to);

    io::Loop& loop_;
    ConnectSettings settings_;
    Done done_;
    std::unique_ptr<io::Lookup> lookup_;
    io::Addresses addresses_;
    size_t next_ = 0;
    Fd fd_;
    ConnectFailure last_;
    io::Timer deadline_;
    io::Timer kick_;                // a failure found at once is told from the loop
};

}  // namespace iscsi::initiator

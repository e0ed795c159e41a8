// iscsid's end of the protocol with iscsiadm: accepts connections on its unix socket, lets only root in, and turns requests
// into calls of the engine. Everything on the daemon's loop; a client that does not read or talks nonsense is dropped.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config/iscsid_conf.h"
#include "core/initiator/kernel_initiator.h"
#include "core/mgmt/iscsid_protocol.h"

namespace iscsi::mgmt {

// What iscsid was started with; answered to `initiator_info`.
struct DaemonIdentity {
    std::string config_file;
    config::InitiatorName initiator;        // empty if there is none
};

class SessionOps : private io::Watcher {
public:
    SessionOps(io::Loop& loop, initiator::KernelInitiator& engine, DaemonIdentity& identity, std::function<void()> stop);
    ~SessionOps();

    // `fd`: a bound socket, listening or not (socket activation).
    Result<void> listen(Fd fd);

private:
    class Client;
    void on_ready(uint32_t) override;
    void handle(Client& client, const IscsidMessage& request);
    void login(Client& client, const IscsidMessage& request);
    void logout(Client& client, const IscsidMessage& request);
    void states(IscsidMessage& reply, const IscsidMessage& request) const;
    void stats(IscsidMessage& reply, uint32_t sid);
    void rescan(Client& client, const IscsidMessage& request, uint32_t sid);
    void answer_waiting();
    // Answers may come long after their client has left: they go by number.
    Client* client(uint64_t number);
    void reply_to(uint64_t client_number, const IscsidMessage& request, InitiatorError error, const std::string& message,
                  uint32_t sid = 0, int host = -1);
    void sweep();

    io::Loop& loop_;
    initiator::KernelInitiator& engine_;
    DaemonIdentity& identity_;
    std::function<void()> stop_;
    Fd socket_;
    uint64_t next_client_ = 1;
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<std::unique_ptr<initiator::ScanJob>> scans_;
    std::vector<std::pair<uint64_t, IscsidMessage>> waiting_;       // `sync` requests
    io::Deferred sweep_;
};

// The abstract socket, bound; EADDRINUSE: a daemon is running.
Result<Fd> bind_iscsid_socket(std::string_view name = iscsid_socket_name);

}  // namespace iscsi::mgmt

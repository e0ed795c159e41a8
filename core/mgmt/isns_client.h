// Exchanges with an iSNS server on a loop, each with a deadline: one connection, one request, one answer. On top: the query of
// an initiator, and a target's registration that is kept fresh.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/initiator/connector.h"
#include "core/io/loop.h"
#include "core/mgmt/isns.h"
#include "core/mgmt/isns_inquiry.h"

namespace iscsi::mgmt::isns {

struct Server {
    std::string host;                   // name or address
    uint16_t port = default_port;
    uint64_t timeout_ms = 10000;
};

// Destroying it cancels. `done` is called once, from the loop, never from the constructor; it must not destroy the exchange.
class Exchange : private io::Watcher {
public:
    using Done = std::function<void(Result<Message>)>;
    Exchange(io::Loop& loop, const Server& server, Message request, Done done);
    ~Exchange();
    // Our own address on the connection; valid in `done`, "" if there was no connection.
    const std::string& local_address() const { return local_; }

private:
    void on_ready(uint32_t events) override;
    void connected(Fd fd);
    void finish(Result<Message> result);

    io::Loop& loop_;
    std::string host_;
    Done done_;
    Message request_;
    std::string out_, local_;
    Reader reader_;
    Fd fd_;
    io::Timer deadline_;
    std::unique_ptr<initiator::Connector> connector_;
};

// What an initiator may see: asks; where the server does not know us, registers us and asks again. Blocks, at most three
// times the server's time-out.
struct QueryResult {
    bool ok = false;
    std::vector<FoundPortal> portals;
    unsigned ignored = 0;
    bool connected = false;             // false: the failure is the network's
    std::string why;
};
QueryResult query_targets(const Server& server, const std::string& initiator_name);

// Keeps the targets of this host registered: at every change, and again before the registration runs out. The server may ask
// whether we are there (ESI, §6.3.4), so it notices sooner when we are not; one that cannot, or that does not come through, is
// told to leave that. A server that is away is tried again; nothing here stops the target.
class Registrar {
public:
    // `entity` names this host on the server.
    Registrar(io::Loop& loop, Server server, std::string entity);
    ~Registrar();
    // The nodes and portals from now on. An empty list of nodes takes the registration back.
    void update(std::vector<Node> nodes, std::vector<Portal> portals);
    // Takes the registration back; blocks, at most two seconds. For the end.
    void withdraw();

private:
    void send();
    void answered(Result<Message> result);
    void watch_inquiries(const Message& answer);
    void check_inquiries();

    io::Loop& loop_;
    Server server_;
    std::string entity_, registered_as_;
    std::vector<Node> nodes_;
    std::vector<Portal> portals_;
    bool changed_ = false, told_ = false;
    std::unique_ptr<Exchange> exchange_;
    io::Timer again_;

    std::unique_ptr<InquiryListener> inquiries_;
    bool with_esi_ = true, sent_esi_ = false;
    uint64_t asked_ms_ = 0, esi_limit_ms_ = 0;
    io::Timer esi_check_;
};

}  // namespace iscsi::mgmt::isns

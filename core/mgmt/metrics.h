// What tgtd counts, for Prometheus (text format 0.0.4) over HTTP/1.1: GET /metrics, one request per connection, on the daemon's
// main loop. Off unless asked for; nothing is authenticated, so it listens on the loopback address unless told another one.
#pragma once
#include <list>
#include <memory>
#include <string>

#include "core/io/address.h"
#include "core/io/loop.h"
#include "core/target/directory.h"

namespace iscsi::mgmt {

std::string metrics_text(const target::Directory& directory);

// What a request gets, head and body. `request` ends with the empty line.
std::string metrics_answer(std::string_view request, const target::Directory& directory);

class MetricsServer final : io::Watcher {
public:
    // `where`: "PORT", "ADDRESS:PORT", "[V6]:PORT"; numeric.
    static Result<std::unique_ptr<MetricsServer>> create(io::Loop& loop, const target::Directory& directory, const std::string& where);
    ~MetricsServer();
    const io::Address& address() const { return address_; }

private:
    struct Client;
    static constexpr size_t max_clients = 16, max_request = 4096;
    static constexpr uint64_t request_ms = 5000;

    MetricsServer(io::Loop& loop, const target::Directory& directory);
    void on_ready(uint32_t events) override;        // accepts
    void drop(const Client& client);

    io::Loop& loop_;
    const target::Directory& directory_;
    io::Address address_;
    Fd listener_;
    std::list<std::unique_ptr<Client>> clients_;
};

}  // namespace iscsi::mgmt

// The target as a daemon uses it: workers on their threads, portals that listen, and an orderly end.
#pragma once
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/io/address.h"
#include "core/target/directory.h"
#include "core/target/worker.h"

namespace iscsi::target {

inline constexpr uint16_t default_portal_port = 3260;

class Server {
public:
    // `main_loop` runs the listeners and the first worker; the other workers get threads of their own, started by start().
    static Result<std::unique_ptr<Server>> create(Directory& directory, ServerOptions options);
    ~Server();
    Worker& worker() { return *workers_.front(); }      // the first
    io::Loop& loop() { return *worker().loop; }

    // `host` is a numeric address (IPv6 without brackets) or a name in /etc/hosts or DNS, empty: 0.0.0.0. Port 0 picks one.
    // Errors name the portal.
    Result<void> add_portal(const std::string& host, uint16_t port);
    bool remove_portal(const std::string& host, uint16_t port);
    std::vector<std::string> portals() const;           // "0.0.0.0:3260", "[::]:3260"; newest first
    // 0.0.0.0:3260 and [::]:3260. A busy port is an error, a system without IPv6 is not.
    Result<void> add_default_portals();

    void run();                                         // until stop(); the first worker's loop on this thread
    void stop();                                        // at once; thread safe
    // No new connections; initiators are asked to log out (§11.9), and after `grace_ms`, or when all are gone, run() returns
    // with every session ended and what was in flight finished.
    void shut_down(uint64_t grace_ms);

    size_t connections() const;
    Directory& directory() { return directory_; }

private:
    class Portal;
    Server(Directory& directory, ServerOptions options);
    void accepted(Fd socket);
    void end_all();
    Directory& directory_;
    ServerOptions options_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::thread> threads_;
    std::vector<std::unique_ptr<Portal>> portals_;      // oldest first
    std::unique_ptr<io::Timer> grace_;
    uint64_t watch_ = 0;
    size_t next_worker_ = 0;
    bool shutting_down_ = false, ended_ = false;
};

}  // namespace iscsi::target

// Names to addresses without NSS: numeric addresses, /etc/hosts, then a small DNS stub resolver (A and AAAA over UDP,
// servers, search list and options of /etc/resolv.conf). Static glibc's getaddrinfo would need shared libraries at run
// time. Every answer is bounds-checked, must come from the server asked and echo the question; time is bounded.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/io/address.h"
#include "core/io/loop.h"

namespace iscsi::io {

struct ResolveOptions {
    uint64_t timeout_ms = 10000;                        // for everything together
    int family = AF_UNSPEC;                             // or AF_INET, AF_INET6
    std::string hosts = "/etc/hosts";
    std::string resolv_conf = "/etc/resolv.conf";
    uint16_t dns_port = 53;
};

using Addresses = std::vector<Address>;                 // in the order to try them; at most 16, never empty on success

// Blocks at most options.timeout_ms. The error's text is "resolve NAME: ...": no such host, no answer from the servers.
Result<Addresses> resolve(const std::string& host, uint16_t port, const ResolveOptions& options = {});

// The same on a loop. `done` is called once, never from within the constructor; destroying it cancels.
class Lookup {
public:
    using Done = std::function<void(Result<Addresses>)>;
    Lookup(Loop& loop, const std::string& host, uint16_t port, const ResolveOptions& options, Done done);
    ~Lookup();
    Lookup(const Lookup&) = delete;
    Lookup& operator=(const Lookup&) = delete;

private:
    class Work;
    std::unique_ptr<Work> work_;
};

}  // namespace iscsi::io

// SendTargets discovery (RFC 7143 §4.3, Appendix C) over a TCP connection of its own: connect, discovery login, one text
// exchange, close. Runs on a loop with a deadline; memory is bounded whatever the target sends.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/initiator/login.h"
#include "core/io/loop.h"
#include "core/io/resolve.h"

namespace iscsi::initiator {

// One address of a target, in the order of the answer.
struct DiscoveredPortal {
    std::string target_name;            // a valid iSCSI name
    std::string host;                   // without brackets
    uint16_t port = 3260;
    uint16_t tpgt = 1;
};

struct DiscoverySettings {
    std::string host;                   // name or numeric, no brackets
    uint16_t port = 3260;
    std::string question = "All";       // SendTargets=
    std::string bind_address;           // source address, numeric; may be empty
    std::string bind_interface;         // SO_BINDTODEVICE; may be empty
    uint64_t timeout_ms = 15000;        // for the whole exchange
    LoginSettings login;                // names, ISID, CHAP, offers; `discovery` is set by us
    unsigned max_redirects = 5;
};

struct DiscoveryFailure {
    enum class Kind : uint8_t { resolve, connect, timeout, login, closed, protocol };
    Kind kind = Kind::connect;
    int code = 0;                       // errno for connect
    std::string text;                   // one line
    LoginFailure login;                 // valid for login
};

struct DiscoveryResult {
    bool ok = false;
    std::vector<DiscoveredPortal> portals;
    DiscoveryFailure failure;           // valid if not ok
    unsigned ignored = 0;               // records with a name or address that cannot be one
};

// Destroying it cancels. `done` is called once, never from within the constructor.
class Discovery {
public:
    using Done = std::function<void(DiscoveryResult)>;
    Discovery(io::Loop& loop, DiscoverySettings settings, Done done);
    ~Discovery();
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;

private:
    class Work;
    std::unique_ptr<Work> work_;
};

// Blocks until it is done (at most settings.timeout_ms).
DiscoveryResult discover(const DiscoverySettings& settings);

// The body of a SendTargets answer (§C.1), whole: records in order. A target without TargetAddress is reached where it was
// asked (`host`, `port`). False: the text is malformed.
bool parse_send_targets(Bytes text, const std::string& host, uint16_t port, DiscoveryResult& out);

}  // namespace iscsi::initiator

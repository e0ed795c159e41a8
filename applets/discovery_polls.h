// Discovery records with use_discoveryd = Yes: iscsid asks their servers again and again, each time by an iscsiadm of its own
// (a child process, so that a hostile server meets no daemon): new targets get records and are logged in to, records that
// are gone and unused are removed.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "core/config/node_records.h"
#include "core/io/loop.h"

namespace iscsi::applets {

class DiscoveryPolls {
public:
    DiscoveryPolls(io::Loop& loop, config::Database& database);
    ~DiscoveryPolls();

private:
    struct Poll {
        config::DiscoveryPortal portal;
        uint64_t due_ms = 0;
        int interval_s = 0;             // 0: once
        pid_t child = 0;
        uint64_t started_ms = 0;
        bool wanted = false;
    };
    void look();
    void reap(Poll& poll);
    void start(Poll& poll);

    io::Loop& loop_;
    config::Database& database_;
    std::vector<Poll> polls_;
    io::Timer timer_;
};

}  // namespace iscsi::applets

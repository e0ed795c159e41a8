// Keeps an iSNS server informed of tgtd's targets and portals: looks every two seconds whether they changed.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/mgmt/isns_client.h"
#include "core/mgmt/tgt_ops.h"
#include "core/target/directory.h"
#include "core/target/server.h"

namespace iscsi::applets {

class IsnsWatch {
public:
    IsnsWatch(io::Loop& loop, target::Directory& directory, target::Server& server, const mgmt::IsnsSettings& settings);
    // Takes the registration back; waits at most two seconds for the server.
    ~IsnsWatch();

private:
    void look();
    io::Loop& loop_;
    target::Directory& directory_;
    target::Server& server_;
    mgmt::isns::Registrar registrar_;
    std::vector<std::string> last_;
    io::Timer timer_;
};

}  // namespace iscsi::applets

#include "core/mgmt/tgt_status.h"

#include <doctest/doctest.h>

using namespace iscsi::mgmt;

TEST_CASE("portals as `portal show` prints them") {
    CHECK(parse_portal_show("Portal: [::]:3260,1\nPortal: 0.0.0.0:3260,1\nnonsense\nPortal: 192.0.2.10:3262,1") ==
          std::vector<std::string>{"[::]:3260", "0.0.0.0:3260", "192.0.2.10:3262"});
    CHECK(parse_portal_show("").empty());
}

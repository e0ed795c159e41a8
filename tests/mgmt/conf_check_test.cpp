#include "core/mgmt/conf_check.h"

#include <doctest/doctest.h>

#include "core/base/file.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;

TEST_CASE("what is hardly meant in targets.conf is named with its place") {
    struct Row { const char* line; const char* says; bool minor; };
    const Row rows[] = {
        {"initiator-address 192.0.2.300", "4:21: '192.0.2.300' is no address", false},
        {"initiator-address 192.0.2.0/33", "it matches nobody", false},
        {"initiator-address 192.0.2.0/24", "", false},
        {"initiator-address [2001:db8::]/64", "", false},
        {"initiator-name iqn.x y", "cannot be an initiator's name", false},
        {"backing-store /nonexistent/disk", "4:17: '/nonexistent/disk' is neither file nor device", false},
        {"bs-type rdwrx", "did you mean 'rdwr'?", false},
        {"bs-type aio", "", false},
        {"vendor_id ACME-AND-SONS", "holds 8 characters", true},
        {"incominguser alice short", "the secret has 5 bytes", true},
        {"incominguser alice alicesecret12", "", false},
        {"nop_interval 5", "", false},
        {"nop_interval 5s", "'5s' is no number", false},
        {"MaxBurstLength 8k", "'MaxBurstLength' cannot be '8k'", false},
    };
    TempDir dir;
    REQUIRE(bool(replace_file(dir / "disk", "x", 0600)));
    for (const Row& r : rows) {
        CAPTURE(std::string(r.line));
        REQUIRE(bool(replace_file(dir / "t.conf", "<target iqn.2026-01.test:x>\n  backing-store " + (dir / "disk") + "\n  initiator-address ALL\n  " + r.line + "\n</target>\n", 0600)));
        const config::ConfModel model = mgmt::checked_targets_conf(dir / "t.conf");
        if (!*r.says) {
            CHECK(model.mistakes.empty());
            continue;
        }
        REQUIRE(model.mistakes.size() == 1);
        CAPTURE(model.mistakes[0].message());
        CHECK(model.mistakes[0].message().find(r.says) != std::string::npos);
        CHECK(model.mistakes[0].minor == r.minor);
    }
    REQUIRE(bool(replace_file(dir / "t.conf", "<target iqn.2026-01.test:x>\n  backing-store " + (dir / "disk") + "\n  backing-store " + (dir / "disk") + "\n</target>\n", 0600)));
    const config::ConfModel twice = mgmt::checked_targets_conf(dir / "t.conf");
    REQUIRE(twice.mistakes.size() == 1);
    CHECK(twice.mistakes[0].message().find("is there twice") != std::string::npos);
    REQUIRE(bool(replace_file(dir / "t.conf", "<target iqn.2026-01.test:x>\n  backing-store " + (dir / "disk") + "\n</targte>\n", 0600)));
    const config::ConfModel misspelt = mgmt::checked_targets_conf(dir / "t.conf");
    REQUIRE(misspelt.mistakes.size() == 1);
    CHECK(misspelt.mistakes[0].message().find("3:1: </targte> closes <target> of line 1") != std::string::npos);
    CHECK_FALSE(misspelt.fatal());                          // tgt takes it
}

#include "core/kernel/sysfs.h"

#include <doctest/doctest.h>

#include "tests/support/fake_kernel.h"

using namespace iscsi;
using namespace iscsi::kernel;

namespace {
// One session with a disk sda (partition sda1, under dm-0) and a controller LUN.
void build(test::TempTree& t) {
    t.file("class/iscsi_transport/tcp/handle", "18446744072648794112\n");
    t.folder("devices/platform/host3/session12");
    t.link("class/iscsi_session/session12/device", "devices/platform/host3/session12");
    t.file("class/iscsi_session/session12/targetname", "iqn.2026-01.org.example:disk1\n");
    t.file("class/iscsi_session/session12/username", "(null)\n");
    t.file("class/iscsi_session/session12/state", "LOGGED_IN\n");
    t.file("class/iscsi_connection/connection12:0/persistent_address", "192.0.2.10\n");
    t.file("class/iscsi_connection/connection12:0/persistent_port", "3260\n");
    t.file("class/iscsi_connection/connection12:0/state", "up\n");
    t.file("devices/platform/host3/session12/target3:0:0/3:0:0:1/state", "running\n");
    t.file("devices/platform/host3/session12/target3:0:0/3:0:0:1/block/sda/dev", "8:0\n");
    t.file("devices/platform/host3/session12/target3:0:0/3:0:0:0/type", "12\n");
    t.folder("devices/platform/host3/session12/target3:0:0/power");
    t.file("class/block/sda/dev", "8:0\n");
    t.file("class/block/sda/sda1/partition", "1\n");
    t.file("class/block/sda1/dev", "8:1\n");
    t.folder("class/block/sda1/holders/dm-0");
    t.file("class/block/dm-0/dev", "254:0\n");
    t.file("class/iscsi_session/sessionX/state", "");
}
}  // namespace

TEST_CASE("sessions are read from sysfs, unset and missing attributes are empty") {
    test::TempTree t;
    build(t);
    Sysfs s(t.root(), t.root());
    CHECK(s.transport_handle() == 18446744072648794112ull);
    CHECK(!s.transport_handle("iser"));
    REQUIRE(s.session_ids() == std::vector<uint32_t>{12});
    auto info = s.session(12);
    REQUIRE(info.has_value());
    CHECK(info->host == 3);
    CHECK(info->target_name == "iqn.2026-01.org.example:disk1");
    CHECK(info->persistent_port == "3260");
    CHECK(info->connection_state == "up");
    CHECK(info->iface_name.empty());
    CHECK(s.session_attribute(12, "username").empty());
    CHECK(!s.session(13));
    auto devices = s.devices(12);
    REQUIRE(devices.size() == 2);
    CHECK(devices[0].name() == "3:0:0:0");
    CHECK(devices[0].block.empty());
    CHECK(devices[1].block == "sda");
    CHECK(devices[1].state == "running");
}

TEST_CASE("a disk is in use if anything on it or stacked on it is mounted") {
    struct Row { const char* mounts; const char* swaps; const char* expect; };
    for (const Row& r : {Row{"30 1 8:2 / /home rw - ext4 /dev/sdb1 rw\n", "", nullptr},
                         Row{"30 1 8:0 / /mnt rw,noatime shared:1 - ext4 /dev/sda rw\n", "", "/dev/sda on /mnt"},
                         Row{"30 1 8:1 / /a rw - ext4 /dev/sda1 rw\n", "", "/dev/sda1 on /a"},
                         Row{"30 1 254:0 / /b rw - xfs /dev/mapper/vg-lv rw\n", "", "/dev/dm-0 on /b"},
                         Row{"30 1 0:40 / /c rw - btrfs /dev/sda1 rw\n", "", "/dev/sda1 on /c"},
                         Row{"garbage\n\n30\n", "Filename Type\n/dev/dm-0 partition 1 0 -2\n", "/dev/dm-0 as swap"},
                         Row{"", "", "no list of mounts can be read, perhaps sda"}}) {
        test::TempTree t;
        build(t);
        t.file("self/mountinfo", r.mounts);
        t.file("swaps", r.swaps);
        Sysfs s(t.root(), t.root());
        CAPTURE(r.mounts);
        auto use = s.in_use(12);
        CHECK(use.has_value() == (r.expect != nullptr));
        if (use && r.expect) CHECK(*use == r.expect);
    }
}

TEST_CASE("switches are written where the kernel looks") {
    test::TempTree t;
    build(t);
    t.file("class/scsi_host/host3/scan", "");
    t.file("bus/scsi/devices/3:0:0:1/queue_depth", "");
    t.file("bus/scsi/devices/3:0:0:1/rescan", "");
    Sysfs s(t.root(), t.root());
    auto disk = s.devices(12).at(1);
    CHECK(bool(s.scan_host(3)));
    CHECK(bool(s.set_queue_depth(disk, 64)));
    CHECK(bool(s.rescan_device(disk)));
    CHECK(t.read("class/scsi_host/host3/scan") == "- - -");
    CHECK(t.read("bus/scsi/devices/3:0:0:1/queue_depth") == "64");
    CHECK(!s.delete_device(disk));
    CHECK(!s.scan_host(4));
}

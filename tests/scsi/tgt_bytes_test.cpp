// The device server answers as tgt's does, but for what is listed here.
#include "tests/scsi/tgt_bytes.h"

#include <doctest/doctest.h>

#include <cstring>

#include "core/store/memory.h"
#include "tests/support/scsi_harness.h"

using namespace iscsi;
using namespace iscsi::scsi;

namespace {

std::string to_hex(const std::vector<uint8_t>& bytes) {
    std::string s;
    for (uint8_t b : bytes) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", b);
        s += two;
    }
    return s;
}

std::vector<uint8_t> data_out(const std::string& text) {
    if (auto star = text.find('*'); star != text.npos)
        return std::vector<uint8_t>(size_t(std::stoul(text.substr(star + 1))), hex(text.substr(0, 2))[0]);
    return hex(text);
}

// Where we differ on purpose. `data` nullptr: not compared here, because a test of its own does.
struct Difference {
    unsigned lun;
    const char* cdb;
    const char* reason;
    const char* answer;
    const char* data;
};
constexpr Difference differences[] = {
    {1, "12 01 00 00 ff 00", "page 86h is there", "good", "0000000700808386b0b1b2"},
    {0, "12 01 00 00 ff 00", "page 86h is there", "good", "0c00000700808386b0b1b2"},
    {1, "12 01 83 00 ff 00", "NAA identifiers are unique among hosts", "good", nullptr},
    {0, "12 01 83 00 ff 00", "NAA identifiers are unique among hosts", "good", nullptr},
    {1, "a3 0c 00 00 00 00 00 00 08 00 00 00", "more commands", "good", nullptr},
    {0, "a3 0c 00 00 00 00 00 00 08 00 00 00", "a controller has nothing to VERIFY", "good", nullptr},
    {1, "89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", "COMPARE AND WRITE works", "good", ""},
    {1, "5e 02 00 00 00 00 00 00 40 00", "SPEC_I_PT and ALL_TG_PT are there", "good", "00080c80ea010000"},
};

const Difference* difference(const TgtRow& row) {
    for (const Difference& d : differences)
        if (d.lun == row.lun && std::strcmp(d.cdb, row.cdb) == 0) return &d;
    return nullptr;
}

}  // namespace

TEST_CASE("SCSI answers are tgt's, byte for byte") {
    Harness h;
    DiskOptions o;
    o.identity = {1, 1, "iqn.2001-04.com.example:disk1", "host"};
    auto disk = Disk::over(*store::make_ram("64M", 64 << 20), o);
    REQUIRE(h.router.add(0, make_controller({1, 0, "iqn.2001-04.com.example:disk1", "host"})));
    REQUIRE(h.router.add(1, disk));
    uint64_t session = 1;
    bool renamed = false;
    for (const TgtRow& row : tgt_rows) {
        if (row.set) {
            for (std::string list = row.set; !list.empty();) {
                std::string one = list.substr(0, list.find(','));
                list.erase(0, one.size() + 1);
                CAPTURE(one);
                CHECK(disk->set(one.substr(0, one.find('=')), one.substr(one.find('=') + 1)) == Change::done);
                renamed = renamed || one.rfind("scsi_id", 0) == 0;
            }
            continue;
        }
        auto nexus = Harness::make_nexus(session++);
        h.arrive(*nexus);
        if (!row.keep_attention) h.run(nexus.get(), row.lun, "00 00 00 00 00 00");
        Answer a = h.run(nexus.get(), row.lun, hex(row.cdb), data_out(row.out));
        h.leave(*nexus);
        CAPTURE(row.lun);
        CAPTURE(row.cdb);
        const Difference* d = difference(row);
        CHECK(a.text() == (d ? d->answer : row.answer));
        if (a.text() != "good") continue;
        if (row.lun == 1 && std::strncmp(row.cdb, "12 01 83", 8) == 0 && renamed) {
            // with a scsi_id of its own the NAA 6 identifier is tgt's
            CHECK(to_hex(a.data).substr(0, 88) == std::string(row.data).substr(0, 88));
            CHECK(to_hex(a.data).substr(112) == std::string(row.data).substr(112));
        } else if (row.lun == 1 && std::strcmp(row.cdb, "12 01 b0 00 ff 00") == 0 && renamed) {
            // thin: 0 blocks are refused by WRITE SAME, and UNMAP takes 256 descriptors
            CHECK(to_hex(a.data) == "00b0003c018000800000000000001000" "00000000ffffffff0000010000000000" +
                                        std::string(64, '0'));
        } else if (!d) {
            CHECK(a.data.size() == row.length);
            if (row.data[0]) CHECK(to_hex(a.data) == row.data);
        } else if (d->data) {
            CHECK(to_hex(a.data) == d->data);
        }
    }
    CHECK(session > 80);
}

TEST_CASE("commands of tgt's list are all there") {
    Harness h;
    REQUIRE(h.router.add(0, make_controller({})));
    REQUIRE(h.router.add(1, Disk::over(*store::make_ram("1M", 1 << 20), {})));
    auto list = [&](unsigned lun) {
        Answer a = h.run(nullptr, lun, "a3 0c 00 00 00 00 00 00 10 00 00 00");
        std::string s;
        for (size_t i = 4; i + 8 <= a.data.size(); i += 8) s += to_hex({a.data[i], a.data[i + 3]}) + " ";
        CHECK(get32(a.data.data()) == a.data.size() - 4);
        return s;
    };
    for (const TgtRow& row : tgt_rows) {
        if (!row.cdb || std::strncmp(row.cdb, "a3 0c", 5) != 0) continue;
        const std::string ours = list(row.lun);
        const std::vector<uint8_t> theirs = hex(row.data);
        for (size_t i = 4; i + 8 <= theirs.size(); i += 8) {
            const std::string one = to_hex({theirs[i], theirs[i + 3]}) + " ";
            CAPTURE(one);
            const bool verify_of_controller = row.lun == 0 && (one == "2f00 " || one == "8f00 " || one == "af00 ");
            CHECK((ours.find(one) != ours.npos) == !verify_of_controller);
        }
    }
    CHECK(list(1).find("8900 ") != std::string::npos);
}

TEST_CASE("the NAA identifiers differ by host, target and LUN, and stay") {
    auto id = [](const UnitIdentity& identity) {
        Harness h;
        DiskOptions o;
        o.identity = identity;
        h.router.add(1, Disk::over(*store::make_ram("1M", 1 << 20), o));
        return to_hex(h.run(nullptr, 1, "12 01 83 00 ff 00").data).substr(88);
    };
    const UnitIdentity a{1, 1, "iqn.a", "host1"};
    CHECK(id(a) == id(a));
    CHECK(id(a).substr(8, 1) == "3");
    CHECK(id(a).substr(32, 7) == "6000000");
    for (const UnitIdentity& b : {UnitIdentity{1, 1, "iqn.a", "host2"}, {1, 2, "iqn.a", "host1"}, {1, 1, "iqn.b", "host1"}}) {
        CHECK(id(a).substr(8, 16) != id(b).substr(8, 16));
        CHECK(id(a).substr(32) != id(b).substr(32));
    }
}

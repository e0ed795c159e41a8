#include "core/scsi/router.h"

#include <doctest/doctest.h>

#include "core/scsi/table.h"
#include "core/store/memory.h"
#include "tests/support/scsi_harness.h"

using namespace iscsi;
using namespace iscsi::scsi;

TEST_CASE("LUNs in their 8 bytes") {
    struct Row { uint64_t wire; int64_t number; };
    for (const Row& r : {Row{0, 0}, {0x0001000000000000, 1}, {0x00ff000000000000, 255}, {0x4100000000000000, 256}, {0x7fff000000000000, 16383},
                         {0x0100000000000000, -1}, {0xc101000000000000, -1}, {0x8000000000000000, -1}, {0x0001000100000000, -1}, {1, -1}}) {
        CAPTURE(r.wire);
        auto n = Router::decode_lun(r.wire);
        CHECK(int64_t(n.value_or(uint64_t(-1))) == r.number);
        if (r.number >= 0) CHECK(Router::encode_lun(uint64_t(r.number)) == r.wire);
    }
    CHECK(Router::decode_lun(0x4001000000000000) == 1);     // flat addressing of a small number
}

TEST_CASE("REPORT LUNS lists all, and answers the unit attention of a changed list") {
    Harness h;
    auto disk = [] { return Disk::over(*store::make_ram("1M", 1 << 20), {}); };
    h.router.add(0, make_controller({}));
    h.router.add(1, disk());
    auto nexus = Harness::make_nexus(1);
    h.arrive(*nexus);
    CHECK(h.run(nexus.get(), 1, "a0 00 00 00 00 00 00 00 01 00 00 00").text() == "good");       // does not mind 29h
    CHECK(h.run(nexus.get(), 1, "00 00 00 00 00 00").text() == "06/29/00");
    CHECK(h.run(nexus.get(), 0, "00 00 00 00 00 00").text() == "06/29/00");
    const uint64_t before = h.router.generation();
    CHECK(h.router.add(300, disk()));
    CHECK(!h.router.add(300, disk()));
    CHECK(h.router.generation() == before + 1);
    CHECK(h.run(nexus.get(), 1, "00 00 00 00 00 00").text() == "06/3f/0e");
    CHECK(h.run(nexus.get(), 0, "a0 00 00 00 00 00 00 00 01 00 00 00").data ==
          hex("00000018 00000000 0000000000000000 0001000000000000 412c000000000000"));
    CHECK(h.run(nexus.get(), 0, "00 00 00 00 00 00").text() == "good");
    CHECK(h.run(nexus.get(), 0, "a0 00 00 00 00 00 00 00 00 14 00 00").data.size() == 20);
    CHECK(h.run(nexus.get(), 0, "a0 00 01 00 00 00 00 00 01 00 00 00").data == hex("00000000 00000000"));
    CHECK(h.run(nexus.get(), 0, "a0 00 03 00 00 00 00 00 01 00 00 00").text() == "05/24/00");
    CHECK(h.router.remove(300));
    CHECK(!h.router.remove(300));
    CHECK(h.run(nexus.get(), 1, "00 00 00 00 00 00").text() == "06/3f/0e");
    CHECK(h.run(nexus.get(), 300, "00 00 00 00 00 00").text() == "05/25/00");
    CHECK(h.run(nexus.get(), 300, "03 00 00 00 12 00").data == hex("70000500 0000000a 00000000 25000000 0000"));
}

TEST_CASE("REQUEST SENSE reports a unit attention once, as data") {
    Harness h;
    h.router.add(1, Disk::over(*store::make_ram("1M", 1 << 20), {}));
    auto nexus = Harness::make_nexus(1);
    h.arrive(*nexus);
    CHECK(h.run(nexus.get(), 1, "03 00 00 00 12 00").data == hex("70000600 0000000a 00000000 29000000 0000"));
    CHECK(h.run(nexus.get(), 1, "03 01 00 00 12 00").data == hex("72000000 00000000"));
    CHECK(h.run(nexus.get(), 1, "00 00 00 00 00 00").text() == "good");
}

TEST_CASE("sense data in both formats") {
    Sense s{SenseKey::miscompare, 0x1d, 0, 0x123, 0x400003};
    CHECK(encode_sense(s, false) == hex("f0000e00 0001230a 00000000 1d0000c0 0003"));
    CHECK(encode_sense(s, true) == hex("720e1d00 00000014 000a8000 0000000000000123 02060000 c0000300"));
    s.information = 0x100000000;
    CHECK(encode_sense(s, false)[0] == 0x70);
}

TEST_CASE("each command of the table describes itself to REPORT SUPPORTED OPERATION CODES") {
    Harness h;
    h.router.add(1, Disk::over(*store::make_ram("1M", 1 << 20), {}));
    for (const Row& row : all_rows()) {
        CAPTURE(row.opcode);
        CAPTURE(row.service);
        std::vector<uint8_t> cdb = hex("a3 0c 01 00 00 00 00 00 04 00 00 00");
        cdb[3] = row.opcode;
        if (row.service >= 0) cdb[2] = 2, cdb[5] = uint8_t(row.service);
        for (uint8_t timeouts : {0, 0x80}) {
            cdb[2] = uint8_t((cdb[2] & 7) | timeouts);
            Answer a = h.run(nullptr, 1, cdb);
            REQUIRE(a.text() == "good");
            REQUIRE(a.data.size() == 4u + row.length + (timeouts ? 12 : 0));
            CHECK(a.data[1] == (timeouts | 3));
            CHECK(get16(&a.data[2]) == row.length);
            CHECK(a.data[4] == row.opcode);
            if (row.service >= 0) CHECK((a.data[5] & 0x1f) == row.service);
            CHECK(a.data[4 + row.length - 1] == 4);         // NACA is looked at
        }
        cdb[2] ^= 3;        // the wrong reporting option
        Answer a = h.run(nullptr, 1, cdb);
        CHECK(a.text() == "05/24/00");
        CHECK(a.sense.sense_key_specific == 0x400002);
        cdb[2] = 3;
        CHECK(h.run(nullptr, 1, cdb).data[1] == 3);
    }
    CHECK(h.run(nullptr, 1, "a3 0c 01 4d 00 00 00 00 04 00 00 00").data == hex("00010000"));
    CHECK(h.run(nullptr, 1, "a3 0c 02 9e 00 1f 00 00 04 00 00 00").data == hex("00010000"));
    CHECK(h.run(nullptr, 1, "a3 0c 03 28 00 01 00 00 04 00 00 00").data == hex("00010000"));
    CHECK(h.run(nullptr, 1, "a3 0c 04 28 00 00 00 00 04 00 00 00").text() == "05/24/00");
    CHECK(h.run(nullptr, 1, "a3 0d 00 00 00 00 00 00 04 00 00 00").data == hex("de000000"));
}

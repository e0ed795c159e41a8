#include "core/scsi/disk.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <thread>

#include "core/store/memory.h"
#include "tests/support/pattern.h"
#include "tests/support/scsi_harness.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_store.h"

using namespace iscsi;
using namespace iscsi::scsi;

namespace {

struct Fixture : Harness {
    std::shared_ptr<store::TestStore> store = std::make_shared<store::TestStore>(*store::make_ram("1M", 1 << 20));
    std::shared_ptr<Disk> disk;
    std::unique_ptr<Nexus> nexus = make_nexus(1);
    explicit Fixture(uint32_t block_size = 512) {
        DiskOptions o;
        o.block_size = block_size;
        disk = Disk::over(store, o);
        router.add(1, disk);
        arrive(*nexus);
        run("00 00 00 00 00 00");       // takes the unit attention
    }
    Answer run(const char* cdb, std::vector<uint8_t> out = {}) { return Harness::run(nexus.get(), 1, cdb, std::move(out)); }
    Answer run(std::vector<uint8_t> cdb, std::vector<uint8_t> out = {}) { return Harness::run(nexus.get(), 1, std::move(cdb), std::move(out)); }
};

}  // namespace

TEST_CASE("READ and WRITE of every size of CDB move the same blocks, warm or cold, in chunks of any size") {
    Fixture f;
    struct Row { const char* write; const char* read; };
    for (bool cold : {false, true})
        for (size_t chunk : {size_t(1) << 20, size_t(512), size_t(700)})
            for (const Row& r : {Row{"0a 00 00 08 04 00", "08 00 00 08 04 00"},
                                 {"2a 00 00 00 00 08 00 00 04 00", "28 00 00 00 00 08 00 00 04 00"},
                                 {"aa 00 00 00 00 08 00 00 00 04 00 00", "a8 00 00 00 00 08 00 00 00 04 00 00"},
                                 {"8a 00 00 00 00 00 00 00 00 08 00 00 00 04 00 00", "88 00 00 00 00 00 00 00 00 08 00 00 00 04 00 00"},
                                 {"2e 00 00 00 00 08 00 00 04 00", "28 00 00 00 00 08 00 00 04 00"},
                                 {"2e 02 00 00 00 08 00 00 04 00", "28 00 00 00 00 08 00 00 04 00"},
                                 {"8e 02 00 00 00 00 00 00 00 08 00 00 00 04 00 00", "28 00 00 00 00 08 00 00 04 00"},
                                 {"ae 00 00 00 00 08 00 00 00 04 00 00", "28 00 00 00 00 08 00 00 04 00"}}) {
                CAPTURE(r.write);
                f.store->cold = cold;
                f.chunk_size = chunk;
                auto data = pattern(2048, uint8_t(f.engine.submitted + chunk));
                CHECK(f.run(r.write, data).text() == "good");
                Answer a = f.run(r.read);
                CHECK(a.text() == "good");
                CHECK(a.data == data);
            }
}

TEST_CASE("extents beyond the end, and flags nobody offers, are refused") {
    Fixture f;      // 2048 blocks
    struct Row { const char* cdb; const char* answer; };
    for (const Row& r : {Row{"28 00 00 00 07 ff 00 00 01 00", "good"},
                         {"28 00 00 00 08 00 00 00 01 00", "05/21/00"},
                         {"28 00 00 00 08 00 00 00 00 00", "good"},         // nothing, at the end
                         {"28 00 00 00 08 01 00 00 00 00", "05/21/00"},
                         {"28 00 00 00 07 ff 00 00 02 00", "05/21/00"},
                         {"28 00 ff ff ff ff 00 ff ff 00", "05/21/00"},
                         {"88 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", "05/21/00"},
                         {"88 00 00 00 00 00 00 00 00 01 ff ff ff ff 00 00", "05/21/00"},
                         {"08 1f ff ff 00 00", "05/21/00"},                 // 256 blocks
                         {"28 20 00 00 00 00 00 00 01 00", "05/24/00"},     // RDPROTECT
                         {"28 18 00 00 00 00 00 00 01 00", "good"},         // DPO FUA
                         {"28 00 00 00 00 00 00 00 01 04", "05/24/00"},     // NACA
                         {"2a 20 00 00 00 00 00 00 01 00", "05/24/00"},
                         {"2f 04 00 00 00 00 00 00 01 00", "05/24/00"},     // BYTCHK 10b
                         {"35 00 00 00 08 00 00 00 01 00", "05/21/00"},
                         {"34 00 00 00 08 00 00 00 01 00", "05/21/00"},
                         {"9e 12 00 00 00 00 00 00 08 00 00 00 00 20 00 00", "05/21/00"},
                         {"9e 1f 00 00 00 00 00 00 00 00 00 00 00 20 00 00", "05/24/00"},
                         {"25 00 00 00 00 01 00 00 00 00", "05/24/00"},     // an address without PMI
                         {"25 00 00 00 00 01 00 00 01 00", "good"},
                         {"fe 00 00 00 00 00", "05/20/00"},
                         {"c1 00 00 00 00 00", "05/20/00"}}) {
        CAPTURE(r.cdb);
        CHECK(f.run(r.cdb).text() == r.answer);
    }
}

TEST_CASE("blocks of 4096 bytes") {
    Fixture f(4096);
    auto data = pattern(8192, 3);
    CHECK(f.run("2a 00 00 00 00 fe 00 00 02 00", data).text() == "good");
    CHECK(f.run("28 00 00 00 00 fe 00 00 02 00").data == data);
    CHECK(f.run("28 00 00 00 00 ff 00 00 02 00").text() == "05/21/00");
    CHECK(get32(&f.run("25 00 00 00 00 00 00 00 00 00").data[4]) == 4096);
    DiskOptions o;
    o.block_size = 1000;
    CHECK(Disk::over(f.store, o)->block_size() == 512);
}

TEST_CASE("FUA, write-through and VERIFY cost one flush for a command, plain writes none") {
    Fixture f;
    f.chunk_size = 512;
    auto data = pattern(2048, 1);
    auto flushes = [&](const char* cdb) {
        int before = f.store->flushes;
        const bool one_block = hex(cdb)[0] == 0x41;
        CHECK(f.run(cdb, one_block ? std::vector<uint8_t>(512) : data).text() == "good");
        return f.store->flushes - before;
    };
    CHECK(flushes("2a 00 00 00 00 00 00 00 04 00") == 0);
    CHECK(flushes("2a 08 00 00 00 00 00 00 04 00") == 1);
    CHECK(flushes("2e 00 00 00 00 00 00 00 04 00") == 1);
    CHECK(flushes("2f 02 00 00 00 00 00 00 04 00") == 0);
    CHECK(flushes("35 00 00 00 00 00 00 00 00 00") == 1);
    CHECK(f.disk->set("write_cache", "off") == Change::done);
    CHECK(flushes("2a 00 00 00 00 00 00 00 04 00") == 1);
    CHECK(flushes("41 00 00 00 00 00 00 00 04 00") == 1);
    CHECK(flushes("28 00 00 00 00 00 00 00 04 00") == 0);
    CHECK(f.disk->set("write_cache", "on") == Change::done);
    CHECK(flushes("2a 00 00 00 00 00 00 00 04 00") == 0);
}

TEST_CASE("what the store reports becomes sense data, and the disk lives on") {
    Fixture f;
    struct Row { int read, write, flush; const char* cdb; const char* answer; };
    for (bool cold : {false, true})
        for (const Row& r : {Row{EIO, 0, 0, "28 00 00 00 00 00 00 00 01 00", "03/11/00"},
                             {0, EIO, 0, "2a 00 00 00 00 00 00 00 01 00", "03/0c/00"},
                             {0, ENOSPC, 0, "2a 00 00 00 00 00 00 00 01 00", "07/27/07"},
                             {0, EDQUOT, 0, "2a 00 00 00 00 00 00 00 01 00", "07/27/07"},
                             {0, 0, EIO, "2a 08 00 00 00 00 00 00 01 00", "03/0c/00"},
                             {0, 0, EIO, "35 00 00 00 00 00 00 00 00 00", "03/0c/00"},
                             {0, 0, ENOSPC, "35 00 00 00 00 00 00 00 00 00", "07/27/07"},
                             {EIO, 0, 0, "2f 00 00 00 00 00 00 00 01 00", "03/11/00"},
                             {EIO, 0, 0, "2f 02 00 00 00 00 00 00 01 00", "03/11/00"},
                             {0, ENOSPC, 0, "41 00 00 00 00 00 00 00 01 00", "07/27/07"},
                             {EIO, 0, 0, "89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", "03/11/00"},
                             {0, ENOSPC, 0, "8b 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", "07/27/07"}}) {
            CAPTURE(r.cdb);
            f.run("2a 00 00 00 00 00 00 00 01 00", std::vector<uint8_t>(512, 1));
            f.store->cold = cold;
            f.store->read_error = r.read, f.store->write_error = r.write, f.store->flush_error = r.flush;
            const bool compare = hex(r.cdb)[0] == 0x89;
            CHECK(f.run(r.cdb, std::vector<uint8_t>(compare ? 1024 : 512, 1)).text() == r.answer);
            f.store->read_error = f.store->write_error = f.store->flush_error = 0;
            CHECK(f.run("28 00 00 00 00 00 00 00 01 00").text() == "good");
        }
}

TEST_CASE("COMPARE AND WRITE, ORWRITE, VERIFY") {
    Fixture f;
    auto a = pattern(1024, 1), b = pattern(1024, 2);
    CHECK(f.run("2a 00 00 00 00 02 00 00 02 00", a).text() == "good");
    auto both = a;
    both.insert(both.end(), b.begin(), b.end());
    CHECK(f.run("89 00 00 00 00 00 00 00 00 02 00 00 00 02 00 00", both).text() == "good");
    CHECK(f.run("28 00 00 00 00 02 00 00 02 00").data == b);
    Answer miss = f.run("89 00 00 00 00 00 00 00 00 02 00 00 00 02 00 00", both);
    CHECK(miss.text() == "0e/1d/00");
    CHECK(miss.sense.information == 0);
    both.assign(b.begin(), b.end());
    both.resize(2048);
    both[700] ^= 1;
    CHECK(f.run("89 00 00 00 00 00 00 00 00 02 00 00 00 02 00 00", both).sense.information == 700);
    CHECK(f.run("28 00 00 00 00 02 00 00 02 00").data == b);
    CHECK(f.run("89 00 00 00 00 00 00 00 00 02 00 00 00 81 00 00").text() == "05/24/00");
    CHECK(f.run("89 00 00 00 00 00 00 00 00 02 00 00 00 01 00 00", both).text() == "05/24/00");

    CHECK(f.run("8b 00 00 00 00 00 00 00 00 02 00 00 00 02 00 00", a).text() == "good");
    auto ored = b;
    for (size_t i = 0; i < ored.size(); i++) ored[i] |= a[i];
    CHECK(f.run("28 00 00 00 00 02 00 00 02 00").data == ored);

    CHECK(f.run("2f 02 00 00 00 02 00 00 02 00", ored).text() == "good");
    CHECK(f.run("2f 02 00 00 00 02 00 00 02 00", a).text() == "0e/1d/00");
    CHECK(f.run("2f 00 00 00 00 02 00 00 02 00").text() == "good");
    CHECK(f.run("2f 06 00 00 00 08 00 00 20 00", std::vector<uint8_t>(512)).text() == "good");
    CHECK(f.run("2f 06 00 00 00 08 00 00 20 00", std::vector<uint8_t>(512, 1)).text() == "0e/1d/00");
}

TEST_CASE("WRITE SAME, UNMAP and GET LBA STATUS") {
    Fixture f;
    auto block = pattern(512, 9);
    CHECK(f.run("41 00 00 00 00 0a 00 00 03 00", block).text() == "good");
    Answer a = f.run("28 00 00 00 00 0a 00 00 03 00");
    for (int i = 0; i < 3; i++) CHECK(std::vector<uint8_t>(a.data.begin() + i * 512, a.data.begin() + i * 512 + 512) == block);
    CHECK(f.run("41 08 00 00 00 00 00 00 08 00", std::vector<uint8_t>(512)).text() == "05/24/00");
    CHECK(f.run("42 00 00 00 00 00 00 00 18 00", hex("0016 0010 00000000 0000000000000000 00000008 00000000")).text() == "05/20/00");
    CHECK(f.run("41 00 00 00 07 fe 00 00 00 00", block).text() == "good");       // to the end
    CHECK(f.run("28 00 00 00 07 ff 00 00 01 00").data == block);

    CHECK(f.disk->set("thin_provisioning", "1") == Change::done);
    CHECK(f.run("42 00 00 00 00 00 00 00 18 00", hex("0016 0010 00000000 0000000000000000 00000008 00000000")).text() == "good");
    CHECK(f.run("28 00 00 00 00 00 00 00 08 00").data == std::vector<uint8_t>(4096));
    a = f.run("9e 12 00 00 00 00 00 00 00 00 00 00 01 00 00 00");
    CHECK(a.text() == "good");
    REQUIRE(a.data.size() >= 40);
    CHECK(get32(&a.data[16]) == 8);         // a hole of one page
    CHECK(a.data[20] == 1);
    CHECK(get64(&a.data[24]) == 8);
    CHECK(a.data[36] == 0);
    // the second descriptor is out of range: nothing is unmapped
    CHECK(f.run("42 00 00 00 00 00 00 00 28 00",
                hex("0026 0020 00000000 0000000000000008 00000008 00000000 0000000000000800 00000001 00000000")).text() == "05/21/00");
    CHECK(f.run("28 00 00 00 00 0a 00 00 01 00").data == block);
    CHECK(f.run("42 00 00 00 00 00 00 00 04 00", hex("00020000")).text() == "05/1a/00");
    CHECK(f.run("42 00 00 00 00 00 00 00 00 00").text() == "good");
    CHECK(f.run("42 01 00 00 00 00 00 00 00 00").text() == "05/24/00");
    CHECK(f.run("93 08 00 00 00 00 00 00 00 0a 00 00 00 01 00 00", std::vector<uint8_t>(512)).text() == "good");
    CHECK(f.run("28 00 00 00 00 0a 00 00 01 00").data == std::vector<uint8_t>(512));
    CHECK(f.run("93 09 00 00 00 00 00 00 00 0b 00 00 00 01 00 00").text() == "good");        // NDOB
    CHECK(f.run("28 00 00 00 00 0b 00 00 01 00").data == std::vector<uint8_t>(512));
    CHECK(f.run("93 08 00 00 00 00 00 00 00 0a 00 00 00 01 00 00", block).text() == "good");   // must read as written
    CHECK(f.run("28 00 00 00 00 0a 00 00 01 00").data == block);
    CHECK(f.run("93 00 00 00 00 00 00 00 00 0a 00 00 00 00 00 00", block).text() == "05/24/00");
}

TEST_CASE("write protection: readonly, SWP, a store that cannot be written") {
    Fixture f;
    auto block = pattern(512, 9);
    auto write = [&] { return f.run("2a 00 00 00 00 00 00 00 01 00", block).text(); };
    CHECK(write() == "good");
    CHECK(f.disk->set("readonly", "1") == Change::done);
    CHECK(write() == "07/27/00");
    CHECK(f.run("8b 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", block).text() == "07/27/00");
    CHECK(f.run("28 00 00 00 00 00 00 00 01 00").data == block);
    CHECK(f.disk->status().read_only);
    CHECK(f.disk->set("readonly", "0") == Change::done);
    CHECK(write() == "good");
    // MODE SELECT(6) of the Control page with SWP
    CHECK(f.run("15 10 00 00 10 00", hex("00000000 0a0a 0210 0800 0000 0000 0200")).text() == "good");
    CHECK(write() == "07/27/00");
    CHECK(f.disk->status().swp);
    CHECK(f.run("1a 08 0a 00 ff 00").data[2] == 0x90);
    f.disk->logical_unit_reset(f.nexus.get());
    CHECK(write() == "06/29/00");
    CHECK(write() == "good");
    Harness h;
    h.router.add(1, Disk::over(std::make_shared<store::ReadOnly>(f.store), {}));
    CHECK(h.run(nullptr, 1, "2a 00 00 00 00 00 00 00 01 00", block).text() == "07/27/00");
    CHECK(h.run(nullptr, 1, "1a 08 0a 00 ff 00").data[2] == 0x90);
}

TEST_CASE("MODE SELECT changes what may change, and tells the others") {
    Fixture f;
    auto other = Harness::make_nexus(2);
    f.arrive(*other);
    f.Harness::run(other.get(), 1, "00 00 00 00 00 00");
    CHECK(f.run("15 10 00 00 18 00", hex("00000000 0812 1000ffff0000ffffffff801400000000 0000")).text() == "good");
    CHECK(f.run("1a 08 08 00 ff 00").data[6] == 0x10);
    CHECK(f.Harness::run(other.get(), 1, "00 00 00 00 00 00").text() == "06/2a/01");
    CHECK(f.Harness::run(other.get(), 1, "00 00 00 00 00 00").text() == "good");
    CHECK(f.run("00 00 00 00 00 00").text() == "good");
    struct Row { const char* cdb; const char* list; const char* answer; };
    for (const Row& r : {Row{"15 11 00 00 18 00", "", "05/24/00"},                                              // SP
                         {"15 10 00 00 04 00", "00000008", "05/1a/00"},
                         {"15 10 00 00 0c 00", "00000008 0000000000000200", "good"},
                         {"15 10 00 00 0c 00", "00000008 0000000000001000", "05/26/00"},                        // another block size
                         {"15 10 00 00 18 00", "00000000 0812 1500ffff0000ffffffff801400000000 0000", "05/26/00"},
                         {"15 10 00 00 06 00", "00000000 0812", "05/1a/00"},
                         {"15 10 00 00 06 00", "00000000 0811", "05/26/00"},
                         {"15 10 00 00 06 00", "00000000 3e00", "05/26/00"},
                         {"15 10 00 00 05 00", "00000000 08", "05/1a/00"},
                         {"15 10 00 00 00 00", "", "good"},
                         {"55 10 00 00 00 00 00 00 1c 00", "0000000000000000 0812 1400ffff0000ffffffff801400000000 0000", "good"},
                         {"55 10 00 00 00 00 00 00 07 00", "00000000000000", "05/1a/00"}}) {
        CAPTURE(r.list);
        CHECK(f.run(r.cdb, hex(r.list)).text() == r.answer);
    }
    CHECK(f.run("1a 08 08 00 ff 00").data[6] == 0x14);
}

TEST_CASE("mode_page replaces a page; malformed ones are refused") {
    Fixture f;
    CHECK(f.disk->set("mode_page", "8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0") == Change::done);
    CHECK(f.run("1a 08 48 00 ff 00").data[6] == 0);        // nothing is changeable any more
    CHECK(f.run("1a 08 08 00 ff 00").data[6] == 0x10);
    for (const char* bad : {"", "8", "8:0", "8:0:x", "8:0:1:1:2", "8:0:2:256", "64:0:2:1", "8:0:2:1:", "8:0:300:1", "8:0:2;1"})
        CHECK(f.disk->set("mode_page", bad) == Change::invalid_request);
    CHECK(f.disk->set("mode_page", "0x20:1:4:1:2") == Change::done);
    CHECK(f.run("1a 08 20 01 ff 00").data == hex("0b001000 60010004 01020000"));
}

TEST_CASE("attributes as tgtadm sets and shows them") {
    DiskOptions o;
    o.identity = {3, 12, "iqn.x", ""};
    o.bstype = "ram";
    o.path = "64M";
    o.flags = "sync:direct";
    auto made = Disk::create(o);
    REQUIRE(made);
    Disk& d = **made;
    UnitStatus s = d.status();
    CHECK(s.type == std::string("disk"));
    CHECK(s.scsi_id == "IET     0003000c");
    CHECK(s.scsi_sn == "beaf312");
    CHECK(s.size == 64 << 20);
    CHECK(s.block_size == 512);
    CHECK(s.store_type == "ram");
    CHECK(s.store_path == "64M");
    CHECK(s.store_flags == "sync:direct");
    CHECK(s.online);
    CHECK(d.set("scsi_sn", std::string(40, 'x')) == Change::done);
    CHECK(d.status().scsi_sn == std::string(36, 'x'));
    for (auto [key, value] : {std::pair{"readonly", ""}, {"nonsense", "1"}, {"bsopts", "x"}, {"bsoflags", "sync"}, {"path", "1M"}, {"write_cache", "maybe"}})
        CHECK(d.set(key, value) == Change::invalid_request);
    CHECK(d.set("online", "Yes") == Change::done);          // atoi: 0
    CHECK(!d.status().online);
    CHECK(d.set("path", "/no/such/file") == Change::invalid_request);
    CHECK(!d.status().online);
    CHECK(d.set("path", "128M") == Change::done);           // goes online
    CHECK(d.status().online);
    CHECK(d.status().size == 128 << 20);
    CHECK(d.blocks() == 262144);

    o.path.clear();
    auto empty = Disk::create(o);
    REQUIRE(empty);
    CHECK(!(*empty)->status().online);
    CHECK((*empty)->status().removable);
    CHECK((*empty)->status().store_path.empty());
    Harness h;
    h.router.add(1, *empty);
    CHECK(h.run(nullptr, 1, "00 00 00 00 00 00").text() == "02/3a/00");
    CHECK(h.run(nullptr, 1, "28 00 00 00 00 00 00 00 01 00").text() == "02/3a/00");
    CHECK(h.run(nullptr, 1, "1b 00 00 00 03 00").text() == "02/3a/00");
    CHECK(h.run(nullptr, 1, "1b 00 00 00 00 00").text() == "good");
    CHECK((*empty)->set("removable", "0") == Change::done);
    CHECK(h.run(nullptr, 1, "28 00 00 00 00 00 00 00 01 00").text() == "02/3a/00");
    CHECK((*empty)->set("online", "1") == Change::invalid_request);
    CHECK((*empty)->set("path", "1M") == Change::done);
    CHECK(h.run(nullptr, 1, "28 00 00 00 00 00 00 00 01 00").text() == "good");

    o.bstype = "rdwr";
    o.path = "/no/such/file";
    auto bad = Disk::create(o);
    REQUIRE(!bad);
    CHECK(bad.error().text().find("/no/such/file") != std::string::npos);
}

TEST_CASE("a removable medium: prevent, eject, load") {
    Fixture f;
    CHECK(f.disk->set("removable", "1") == Change::done);
    CHECK(f.run("1e 00 00 00 01 00").text() == "good");
    CHECK(f.disk->status().prevent_removal);
    CHECK(f.run("1b 00 00 00 02 00").text() == "05/53/02");
    CHECK(f.disk->set("online", "0") == Change::removal_prevented);
    f.leave(*f.nexus);
    CHECK(!f.disk->status().prevent_removal);
    f.arrive(*f.nexus);
    f.run("00 00 00 00 00 00");
    CHECK(f.run("1b 00 00 00 02 00").text() == "good");
    CHECK(!f.disk->status().online);
    for (const char* cdb : {"00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "25 00 00 00 00 00 00 00 00 00", "1a 00 3f 00 ff 00"})
        CHECK(f.run(cdb).text() == "02/3a/00");
    CHECK(f.run("12 00 00 00 ff 00").text() == "good");
    auto other = Harness::make_nexus(2);
    f.arrive(*other);
    f.Harness::run(other.get(), 1, "00 00 00 00 00 00");
    CHECK(f.run("1b 00 00 00 03 00").text() == "good");
    CHECK(f.run("00 00 00 00 00 00").text() == "good");
    CHECK(f.Harness::run(other.get(), 1, "00 00 00 00 00 00").text() == "06/28/00");
}

TEST_CASE("growth of the medium reaches initiators as a unit attention") {
    TempDir dir;
    auto path = dir / "disk";
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(fd.get(), 1 << 20) == 0);
    DiskOptions o;
    o.path = path;
    auto disk = Disk::create(o);
    REQUIRE(disk);
    Harness h;
    h.router.add(1, *disk);
    auto nexus = Harness::make_nexus(1);
    h.arrive(*nexus);
    h.run(nexus.get(), 1, "00 00 00 00 00 00");
    CHECK(!(*disk)->refresh_size());
    REQUIRE(::ftruncate(fd.get(), 2 << 20) == 0);
    CHECK((*disk)->refresh_size());
    CHECK(h.run(nexus.get(), 1, "28 00 00 00 08 00 00 00 01 00").text() == "06/2a/09");
    CHECK(h.run(nexus.get(), 1, "28 00 00 00 08 00 00 00 01 00").text() == "good");
    CHECK(get32(h.run(nexus.get(), 1, "25 00 00 00 00 00 00 00 00 00").data.data()) == 4095);
}

TEST_CASE("memory of the store is offered for plain READ and WRITE only") {
    Fixture f;
    auto offered = [&](const char* cdb) {
        Command c;
        c.nexus = f.nexus.get();
        c.lun = Router::encode_lun(1);
        auto bytes = hex(cdb);
        std::copy(bytes.begin(), bytes.end(), c.cdb);
        REQUIRE(!begin(*f.router.table(), c));
        CHECK(c.lu->in_place(c, 0, size_t(c.length) + 1).empty());
        CHECK(c.lu->in_place(c, ~uint64_t(0), 2).empty());
        CHECK(!c.lu->in_file(c, 0, 512));               // memory is no file
        CHECK(!c.lu->splices(c, 0, 512));
        return c.lu->in_place(c, 512, 512).size();
    };
    CHECK(offered("28 00 00 00 00 00 00 00 04 00") == 512);
    CHECK(offered("2a 00 00 00 00 00 00 00 04 00") == 512);
    CHECK(offered("2f 02 00 00 00 00 00 00 04 00") == 0);
    CHECK(offered("8b 00 00 00 00 00 00 00 00 00 00 00 00 04 00 00") == 0);
    CHECK(offered("2e 02 00 00 00 00 00 00 04 00") == 0);
}

TEST_CASE("loops on several threads share a disk") {
    Harness shared;
    auto store = std::make_shared<store::TestStore>(*store::make_ram("1M", 1 << 20));
    auto disk = Disk::over(store, {});
    shared.router.add(1, disk);
    std::atomic<int> bad{0}, attentions{0};
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; t++)
        threads.emplace_back([&, t] {
            Harness h;
            h.router.add(1, disk);
            auto nexus = Harness::make_nexus(100 + t);
            disk->nexus_arrived(*nexus);
            const std::vector<uint8_t> data(512, uint8_t(t));
            for (int i = 0; i < 300; i++) {
                std::vector<uint8_t> write = hex("2a 00 00 00 00 00 00 00 01 00"), read = hex("28 00 00 00 00 00 00 00 01 00");
                write[5] = read[5] = uint8_t(t * 64 + uint64_t(i) % 64);
                for (Answer a; (a = h.run(nexus.get(), 1, write, data)).text() != "good"; attentions++)
                    if (a.status == Status::check_condition && a.sense.key != SenseKey::unit_attention) bad++;
                Answer a;
                while ((a = h.run(nexus.get(), 1, read)).text() != "good") attentions++;
                bad += a.data != data;
                if (i % 50 == 0) h.run(nexus.get(), 1, "16 00 00 00 00 00"), h.run(nexus.get(), 1, "17 00 00 00 00 00");
            }
            disk->nexus_lost(*nexus);
        });
    for (int i = 0; i < 50; i++) {
        disk->raise_unit_attention(0x2a, 0x01, nullptr);
        disk->set("vendor_id", "ACME");
        disk->set("online", "0");
        disk->set("online", "1");
        (void)disk->status();
        disk->refresh_size();
        std::this_thread::yield();
    }
    for (auto& t : threads) t.join();
    CHECK(bad == 0);
    CHECK(attentions >= 3);
}

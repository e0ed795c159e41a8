#include "core/initiator/remote_lun.h"

#include <doctest/doctest.h>

#include "core/initiator/load.h"
#include "tests/support/ram_target.h"

using namespace iscsi;
using namespace iscsi::initiator;

TEST_CASE("CDBs of reads and writes") {
    struct Row { uint64_t lba; uint32_t blocks; uint8_t read, write; };
    for (const Row& r : {Row{0, 1, 0x28, 0x2a}, {0xfffffff0, 8, 0x28, 0x2a}, {0xffffffff, 1, 0x88, 0x8a}, {7, 65536, 0x88, 0x8a}}) {
        CAPTURE(r.lba);
        ScsiRequest q;
        make_read(q, r.lba, r.blocks);
        CHECK(q.cdb[0] == r.read);
        make_write(q, r.lba, r.blocks, true);
        CHECK(q.cdb[0] == r.write);
        CHECK(q.cdb[1] == 0x08);
        const bool wide = r.write == 0x8a;
        CHECK((wide ? get64(&q.cdb[2]) : get32(&q.cdb[2])) == r.lba);
        CHECK((wide ? get32(&q.cdb[10]) : get16(&q.cdb[7])) == r.blocks);
    }
}

TEST_CASE("GET LBA STATUS answers are believed as far as they make sense") {
    std::vector<uint8_t> d(8 + 3 * 16);
    put32(&d[0], 4 + 3 * 16);
    put64(&d[8], 100);
    put32(&d[16], 8);
    put64(&d[24], 108);
    put32(&d[32], 4);
    d[36] = 1;
    put64(&d[40], 112);
    put32(&d[48], 0);                       // no blocks: the end
    auto e = parse_lba_status(d, 100);
    REQUIRE(e.size() == 2);
    CHECK(e[0].mapped);
    CHECK_FALSE(e[1].mapped);
    CHECK(e[1].lba == 108);
    CHECK(parse_lba_status(d, 101).empty());
    put32(&d[0], 0xffffffff);               // longer than what came
    CHECK(parse_lba_status(d, 100).size() == 2);
    for (size_t n = 0; n < 24; n++) CHECK(parse_lba_status(Bytes(d).first(n), 100).empty());
    put64(&d[8], UINT64_MAX - 3);
    CHECK(parse_lba_status(d, UINT64_MAX - 3).empty());     // wraps
}

TEST_CASE("sense data of both formats") {
    ScsiRequest r;
    r.outcome = ScsiRequest::Outcome::answered;
    r.status = 2;
    const uint8_t descriptor[] = {0x72, 0x06, 0x29, 0x00};
    std::memcpy(r.sense, descriptor, sizeof descriptor);
    r.sense_length = 4;
    CHECK(sense_code(r).key == 6);
    CHECK(sense_code(r).asc == 0x2900);
    CHECK(worth_retry(r));
    r.sense[0] = 0x70;
    r.sense[2] = 3;
    CHECK(sense_code(r).key == 3);
    CHECK(sense_code(r).asc == 0);          // too short to say
    CHECK_FALSE(worth_retry(r));
    r.sense_length = 0;
    CHECK(sense_code(r).key == 0);
    r.status = 8;
    CHECK(worth_retry(r));
    CHECK(describe(r) == "BUSY");
}

TEST_CASE("percentiles are right within the width of a bucket") {
    Histogram h;
    for (uint64_t i = 1; i <= 100000; i++) h.add(i * 1000);
    CHECK(h.count() == 100000);
    CHECK(h.min() == 1000);
    CHECK(h.max() == 100000000);
    CHECK(h.mean() == 50000500);
    for (double p : {1.0, 50.0, 90.0, 99.0, 99.9}) {
        CAPTURE(p);
        const double want = p * 1e6;
        CHECK(double(h.percentile(p)) > want * 0.96);
        CHECK(double(h.percentile(p)) <= want * 1.01);
    }
    CHECK(h.percentile(100) <= h.max());
    Histogram one, empty;
    one.add(5);
    one.add(UINT64_MAX / 2);
    h.merge(one);
    CHECK(h.min() == 5);
    CHECK(h.max() == UINT64_MAX / 2);
    CHECK(empty.percentile(99) == 0);
    CHECK(empty.min() == 0);
}

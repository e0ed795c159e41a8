#include "core/mgmt/tgt_protocol.h"

#include <doctest/doctest.h>

using namespace iscsi;
using namespace iscsi::mgmt;

namespace {

// A request of tgt 1.0.85's tgtadm (64 bits; words in the host's order): mode, op, lld, length, tid, lun, text.
std::string golden_lu_new() {
    std::string s(120, '\0');
    auto put = [&](size_t at, auto word) { std::memcpy(&s[at], &word, sizeof word); };
    put(0, uint32_t(2));
    s.replace(8, 5, "iscsi");
    put(72, uint32_t(0xbf));
    put(76, uint32_t(1));
    put(88, uint64_t(1));
    return s + std::string("path=/srv/disk.img,bstype=rdwr,bsopts=foo,bsoflags=sync,blocksize=4096") + '\0';
}

TgtText decode(TgtMode mode, TgtOp op, std::string text) {
    TgtRequest r;
    r.mode = mode;
    r.op = op;
    r.text = std::move(text);
    return decode_tgt_text(r);
}

}  // namespace

TEST_CASE("a request has the bytes of tgt's own tgtadm") {
    TgtRequest r;
    r.mode = TgtMode::logicalunit;
    r.op = TgtOp::create;
    r.lld = "iscsi";
    r.tid = 1;
    r.lun = 1;
    TgtText t;
    t.path = "/srv/disk.img";
    t.bstype = "rdwr";
    t.bsopts = "foo";
    t.bsoflags = "sync";
    t.blocksize = "4096";
    r.text = encode_tgt_text(t, false);
    CHECK((encode(r) == golden_lu_new()));
    auto back = decode_tgt_request(as_bytes(golden_lu_new()));
    REQUIRE(back);
    CHECK(back->mode == TgtMode::logicalunit);
    CHECK(back->lld == "iscsi");
    CHECK(back->tid == 1);
    CHECK(back->lun == 1);
    TgtText text = decode_tgt_text(*back);
    CHECK(text.path == "/srv/disk.img");
    CHECK(text.bsopts == "foo");
    CHECK(text.blocksize == "4096");
    CHECK(!text.targetname);
}

TEST_CASE("every field of a request survives the way") {
    TgtRequest r;
    r.mode = TgtMode::connection;
    r.op = TgtOp::remove;
    r.tid = -1;
    r.sid = 0x1122334455667788;
    r.lun = tgt_no_lun;
    r.cid = 7;
    r.host = 9;
    r.device = TgtDevice::passthrough;
    r.outgoing = r.force = r.json = true;
    auto back = decode_tgt_request(as_bytes(encode(r)));
    REQUIRE(back);
    CHECK(back->op == TgtOp::remove);
    CHECK(back->tid == -1);
    CHECK(back->sid == r.sid);
    CHECK(back->lun == tgt_no_lun);
    CHECK(back->cid == 7);
    CHECK(back->host == 9);
    CHECK(back->device == TgtDevice::passthrough);
    CHECK(back->outgoing);
    CHECK(back->force);
    CHECK(back->json);
    CHECK(back->text.empty());
}

TEST_CASE("malformed requests and answers are refused") {
    const std::string good = golden_lu_new();
    auto with = [&](size_t at, uint32_t value) {
        std::string s = good;
        std::memcpy(&s[at], &value, 4);
        return s;
    };
    CHECK(!tgt_request_length(as_bytes(good.substr(0, 119))));
    CHECK(!tgt_request_length(as_bytes(with(72, 119))));
    CHECK(!tgt_request_length(as_bytes(with(72, 0))));
    CHECK(!tgt_request_length(as_bytes(with(72, 120 + 8193))));
    CHECK(!tgt_request_length(as_bytes(with(72, 0xffffffff))));
    CHECK(tgt_request_length(as_bytes(with(72, 120 + 8192))) == 120 + 8192);
    CHECK(!decode_tgt_request(as_bytes(good.substr(0, good.size() - 1))));
    CHECK(!decode_tgt_request(as_bytes(with(0, 8))));
    CHECK(!decode_tgt_request(as_bytes(with(4, 9))));

    TgtAnswer a{TgtCode::no_target, "text\n"};
    std::string bytes = encode(a);
    CHECK(bytes.size() == 8 + 6);
    CHECK(decode_tgt_answer(as_bytes(bytes))->text == "text\n");
    CHECK(decode_tgt_answer(as_bytes(encode(TgtAnswer{})))->text == "");
    bytes[4] = 7;
    CHECK(!tgt_answer_length(as_bytes(bytes)));
    bytes[7] = 0x7f;
    CHECK(!tgt_answer_length(as_bytes(bytes)));
}

TEST_CASE("an unterminated driver name and text stay inside the message") {
    std::string s = golden_lu_new();
    std::memset(&s[8], 'x', 64);
    s.back() = 'z';
    auto r = decode_tgt_request(as_bytes(s));
    REQUIRE(r);
    CHECK(r->lld.size() == 64);
    CHECK(decode_tgt_text(*r).blocksize == "4096z");
}

TEST_CASE("texts of requests") {
    CHECK(decode(TgtMode::account, TgtOp::create, "user=a,password=b,c").password == "b,c");
    CHECK(decode(TgtMode::account, TgtOp::create, "user=a,password=x,user=b").password == "x,user=b");
    CHECK(decode(TgtMode::account, TgtOp::create, "user=a,b,password=p").user == "a,b");
    CHECK(decode(TgtMode::account, TgtOp::bind, "user=a").user == "a");
    CHECK(!decode(TgtMode::account, TgtOp::remove, "").user);
    auto both = decode(TgtMode::target, TgtOp::bind, "initiator-address=1.2.3.4,initiator-name=iqn.x");
    CHECK(both.initiator_address == "1.2.3.4");
    CHECK(both.initiator_name == "iqn.x");
    auto update = decode(TgtMode::target, TgtOp::update, "HeaderDigest=None,CRC32C");
    CHECK(update.name == "HeaderDigest");
    CHECK(update.value == "None,CRC32C");
    CHECK(decode(TgtMode::target, TgtOp::update, "RedirectAddress=").value == "");
    CHECK(!decode(TgtMode::system, TgtOp::update, "nonsense").name);
    CHECK(decode(TgtMode::portal, TgtOp::create, "portalOps portal=1.2.3.4,").params == "portal=1.2.3.4");
    auto lu = decode(TgtMode::logicalunit, TgtOp::update, "blocksize=512,targetOps vendor_id=A,path=c,");
    CHECK(lu.blocksize == "512");
    CHECK(lu.params == "vendor_id=A,path=c");
    CHECK(!lu.path);
    CHECK(decode(TgtMode::logicalunit, TgtOp::create, "bsopts=a,b,blocksize=1").bsopts == "a,b");
    CHECK(decode(TgtMode::target, TgtOp::create, "targetname=").targetname == "");
}

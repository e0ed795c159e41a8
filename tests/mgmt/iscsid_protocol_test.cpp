#include "core/mgmt/iscsid_protocol.h"

#include <doctest/doctest.h>

using namespace iscsi;
using namespace iscsi::mgmt;

TEST_CASE("iscsid messages survive the trip") {
    IscsidMessage m = request(IscsidRequest::login);
    m.tag = 0x01020304;
    m.add("record", "node.name = iqn.2026-01.org.example:disk1\nnode.tpgt = 1\n");
    m.add("wait", uint64_t(1));
    m.add("empty", "");
    std::string wire = encode(m);
    CHECK(wire.substr(0, 16) == std::string("iSCd\1\0\2\0\4\3\2\1\x5a\0\0\0", 16));
    auto back = decode_iscsid(as_bytes(wire + "rest"));
    REQUIRE(bool(back));
    REQUIRE(back->has_value());
    CHECK((*back)->used == wire.size());
    const IscsidMessage& b = (*back)->message;
    CHECK(b.tag == m.tag);
    CHECK(b.request() == IscsidRequest::login);
    CHECK(!b.reply());
    CHECK(b.fields == m.fields);
    CHECK(b.number("wait") == 1u);
    CHECK(!b.number("record"));
    CHECK(b.get("empty") == "");
    CHECK(!b.get("absent"));
}

TEST_CASE("every cut of an iscsid message asks for more, none is misread") {
    IscsidMessage m = request(IscsidRequest::states);
    m.add("sid", uint64_t(7));
    std::string wire = encode(m);
    for (size_t n = 0; n < wire.size(); n++) {
        CAPTURE(n);
        auto cut = decode_iscsid(as_bytes(std::string_view(wire).substr(0, n)));
        REQUIRE(bool(cut));
        CHECK(!cut->has_value());
    }
}

TEST_CASE("iscsid messages with lying lengths are refused") {
    IscsidMessage m = request(IscsidRequest::states);
    m.add("sid", "7");
    std::string wire = encode(m);
    auto broken = [&](size_t at, uint8_t value) {
        std::string w = wire;
        w[at] = char(value);
        return bool(decode_iscsid(as_bytes(w)));
    };
    CHECK(!broken(0, 'x'));        // magic
    CHECK(!broken(15, 0x7f));      // payload length beyond the limit
    CHECK(!broken(16, 0xff));      // key length
    CHECK(!broken(18, 0xff));      // value length
    CHECK(!broken(21, 0xff));      // value length, top byte
    CHECK(!broken(12, 5));         // payload cut in a field's head
    CHECK(!broken(12, 8));         // payload cut in a key
}

TEST_CASE("open-iscsi's fixed request is told from ours by its first bytes") {
    std::string theirs(open_iscsi_request_length, '\0');
    theirs[0] = 5;
    CHECK(!decode_iscsid(as_bytes(theirs)));
    CHECK(encode_hello(1).size() == open_iscsi_request_length);
    auto hello = decode_iscsid(as_bytes(encode_hello(9)));
    REQUIRE(bool(hello));
    CHECK((*hello)->message.tag == 9);
}

TEST_CASE("session states are parsed as they are printed") {
    auto s = parse_session_state("12 LOGGED IN|NO CHANGE");
    REQUIRE(s.has_value());
    CHECK(s->sid == 12);
    CHECK(s->connection == "LOGGED IN");
    CHECK(s->internal == "NO CHANGE");
    CHECK(!parse_session_state("LOGGED IN|NO CHANGE"));
    CHECK(!parse_session_state("12"));
    CHECK(!parse_session_state(""));
}

TEST_CASE("nobody listening is an error of its own") {
    int why = 0;
    auto client = IscsidClient::connect(&why, "iscsi-unit-test-nobody-here");
    REQUIRE(!client);
    CHECK(client.error().code == int(InitiatorError::daemon_not_connected));
    CHECK(why == ECONNREFUSED);
    CHECK(std::string(initiator::text(InitiatorError::session_exists)) == "session exists");
    CHECK(std::string(initiator::text(InitiatorError(99))) == "unknown error");
}

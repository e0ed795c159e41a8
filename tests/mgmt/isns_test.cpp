#include "core/mgmt/isns.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "core/io/address.h"
#include "core/mgmt/isns_inquiry.h"

using namespace iscsi;
using namespace iscsi::mgmt::isns;

TEST_CASE("a query for targets has the layout of RFC 4171") {
    auto bytes = encode(target_query("iqn.x:i"));
    REQUIRE(bytes);
    const auto& b = *bytes;
    CHECK(get16(b.data()) == 1);
    CHECK(get16(b.data() + 2) == 2);
    CHECK(get16(b.data() + 4) == b.size() - header_length);
    CHECK(get16(b.data() + 6) == (flag::from_client | flag::first | flag::last));
    // the source: iSCSI name, NUL, padded to four
    CHECK(get32(b.data() + 12) == 32);
    CHECK(get32(b.data() + 16) == 8);
    CHECK(b.substr(20, 8) == std::string("iqn.x:i\0", 8));
    CHECK(get32(b.data() + 28) == 33);
    CHECK(get32(b.data() + 36) == node_target);
    CHECK(get32(b.data() + 40) == 0);            // the delimiter
    CHECK(get32(b.data() + 44) == 0);
}

namespace {
Message answer(std::vector<Attribute> attributes) {
    Message m;
    m.function = uint16_t(Function::query) | response_bit;
    m.transaction = 7;
    m.attributes = std::move(attributes);
    return m;
}
}  // namespace

TEST_CASE("an answer arrives in pieces and in several PDUs") {
    std::string whole = *encode(answer({text_attribute(Tag::iscsi_name, "iqn.x:t"), number_attribute(Tag::node_type, 1)}));
    // the same payload cut into two PDUs, in the middle of an attribute
    std::string payload = whole.substr(header_length), two;
    for (int i = 0; i < 2; i++) {
        std::string part = i == 0 ? payload.substr(0, 8) : payload.substr(8), head = whole.substr(0, header_length);
        put16(head.data() + 4, uint16_t(part.size()));
        put16(head.data() + 6, i == 0 ? flag::first : flag::last);
        put16(head.data() + 10, uint16_t(i));
        two += head + part;
    }
    for (const std::string& stream : {whole, two}) {
        Reader reader;
        std::optional<Message> got;
        for (char c : stream) {
            auto step = reader.take(as_bytes({&c, 1}));
            REQUIRE(step);
            if (*step) got = std::move(**step);
        }
        REQUIRE(got);
        CHECK(got->transaction == 7);
        REQUIRE(got->attributes.size() == 2);
        CHECK(got->attributes[0].text() == "iqn.x:t");
    }
}

TEST_CASE("what a hostile server sends is refused") {
    auto good = *encode(answer({text_attribute(Tag::iscsi_name, "iqn.x:t")}));
    auto refused = [](std::string bytes) {
        Reader reader;
        return !reader.take(as_bytes(bytes));
    };
    CHECK(!refused(good));
    auto bad = good;
    bad[0] = 9;                                  // version
    CHECK(refused(bad));
    bad = good;
    put16(bad.data() + 4, 3);                    // a length that is no multiple of four
    CHECK(refused(bad));
    bad = good;
    put16(bad.data() + 6, flag::last);           // no first PDU
    CHECK(refused(bad));
    bad = good;
    put32(bad.data() + 20, 0xfffffff0);          // an attribute longer than the message
    CHECK(refused(bad));
    bad = good.substr(0, header_length);
    put16(bad.data() + 4, 0);                    // an answer with no status
    CHECK(refused(bad));
}

TEST_CASE("targets, their portals and tags") {
    auto ip = [](Tag tag, const char* host) { return *address_attribute(tag, host); };
    Attribute compatible{Tag::portal_address, std::string(12, '\0') + std::string("\xc0\x00\x02\x0b", 4)};
    unsigned ignored = 0;
    auto found = targets_of(answer({text_attribute(Tag::iscsi_name, "iqn.x:a"), ip(Tag::portal_address, "192.0.2.10"),
                                    number_attribute(Tag::portal_port, 3260), compatible, number_attribute(Tag::portal_port, 3261),
                                    ip(Tag::pg_address, "192.0.2.10"), number_attribute(Tag::pg_port, 3260), number_attribute(Tag::pg_tag, 5),
                                    text_attribute(Tag::iscsi_name, "../x"), ip(Tag::portal_address, "192.0.2.10"),
                                    number_attribute(Tag::portal_port, 3260), text_attribute(Tag::iscsi_name, "iqn.x:b"),
                                    ip(Tag::portal_address, "2001:db8::1"), number_attribute(Tag::portal_port, 3260 | 1u << 16),
                                    ip(Tag::portal_address, "2001:db8::1"), number_attribute(Tag::portal_port, 3260)}),
                            ignored);
    REQUIRE(found.size() == 3);
    CHECK(found[0].host == "192.0.2.10");
    CHECK(found[0].tpgt == 5);
    CHECK(found[1].host == "192.0.2.11");
    CHECK(found[1].port == 3261);
    CHECK(found[1].tpgt == 1);
    CHECK(found[2].target == "iqn.x:b");
    CHECK(found[2].host == "2001:db8::1");
    CHECK(ignored == 2);                          // the name that leads out of the tree, the UDP portal
}

TEST_CASE("a registration names the entity, its portals and nodes in the order of §5.6.4") {
    auto m = registration("host", {{"iqn.x:t", "alias", true}, {"bad name", "", true}}, {{"192.0.2.10", 3260}, {"not an address", 1}}, 600);
    std::vector<uint32_t> tags;
    for (const auto& a : m.attributes) tags.push_back(uint32_t(a.tag));
    CHECK(tags == std::vector<uint32_t>{32, 1, 0, 1, 2, 6, 16, 17, 32, 33, 34});
    CHECK((m.flags & flag::replace) != 0);
    m = registration("host", {{"iqn.x:t", "", true}}, {{"192.0.2.10", 3260}, {"192.0.2.11", 3260}}, 0, 4711, 60);
    tags.clear();
    for (const auto& a : m.attributes) tags.push_back(uint32_t(a.tag));
    CHECK(tags == std::vector<uint32_t>{32, 1, 0, 1, 2, 16, 17, 19, 20, 16, 17, 19, 20, 32, 33});
    CHECK(m.attributes[8].number() == 4711);
}

TEST_CASE("an inquiry is answered with its own attributes, a notification with its destination, the rest not") {
    Message ask;
    ask.function = uint16_t(Function::status_inquiry);
    ask.transaction = 9;
    ask.attributes = {text_attribute(Tag::entity, "host"), number_attribute(Tag::portal_port, 3260)};
    auto a = answer_to(ask);
    REQUIRE(a);
    CHECK(a->function == 0x800d);
    CHECK(a->transaction == 9);
    CHECK(a->status == 0);
    CHECK(a->attributes.size() == 2);
    ask.function = uint16_t(Function::state_change);
    CHECK(answer_to(ask)->attributes.size() == 1);
    for (uint16_t other : {0x0001, 0x800d, 0x8008, 0xffff}) {
        ask.function = other;
        CHECK(!answer_to(ask));
    }
}

TEST_CASE("a server's inquiries are answered on the port; what is none ends its connection") {
    auto loop = std::move(*io::Loop::create());
    int asked = 0;
    auto listener = std::move(*InquiryListener::create(*loop, [&] { asked++; }));
    auto connect = [&] {
        Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        auto to = *io::parse_numeric("127.0.0.1", listener->port());
        REQUIRE(::connect(fd.get(), to.get(), to.length) == 0);
        return fd;
    };
    auto turn = [&] { for (int i = 0; i < 20; i++) loop->run_once(2); };
    Message ask;
    ask.function = uint16_t(Function::status_inquiry);
    ask.attributes = {text_attribute(Tag::entity, "host")};
    const std::string raw = *encode(ask), three = raw + raw + raw;
    Fd server = connect();
    REQUIRE(::send(server.get(), three.data(), three.size() - 5, 0) > 0);
    turn();
    CHECK(asked == 2);
    REQUIRE(::send(server.get(), three.data() + three.size() - 5, 5, 0) == 5);
    turn();
    CHECK(asked == 3);
    uint8_t buffer[4096];
    ssize_t n = ::recv(server.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    REQUIRE(n > 0);
    CHECK(size_t(n) == 3 * (raw.size() + 4));
    CHECK(get16(buffer + 2) == 0x800d);

    Fd stranger = connect();
    std::string junk(300, 'x');
    REQUIRE(::send(stranger.get(), junk.data(), junk.size(), 0) > 0);
    turn();
    CHECK(::recv(stranger.get(), buffer, sizeof buffer, MSG_DONTWAIT) <= 0);
    CHECK(::recv(server.get(), buffer, sizeof buffer, MSG_DONTWAIT) == -1);     // the other one stays
    std::vector<Fd> many;
    for (int i = 0; i < 40; i++) {
        many.push_back(connect());
        loop->run_once(2);
    }
    turn();
    CHECK(asked == 3);
}

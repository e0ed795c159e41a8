#include "core/io/resolve.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <cstring>

#include "core/io/dns.h"

using namespace iscsi;
using namespace iscsi::io;

namespace {

struct TempFile {
    char path[32] = "/tmp/resolveXXXXXX";
    explicit TempFile(const std::string& text) {
        Fd fd(::mkstemp(path));
        CHECK(::write(fd.get(), text.data(), text.size()) == ssize_t(text.size()));
    }
    ~TempFile() { ::unlink(path); }
};

using Message = std::vector<uint8_t>;

// The answer to a query: its question echoed, then records (name pointer, type, class, ttl, data).
Message answer_to(const Message& query, uint8_t rcode, const std::vector<Message>& addresses) {
    Message m = query;
    m[2] = 0x81;
    m[3] = 0x80 | rcode;
    m[7] = uint8_t(addresses.size());
    for (const Message& a : addresses) {
        const uint8_t head[] = {0xc0, 12, 0, uint8_t(a.size() == 4 ? 1 : 28), 0, 1, 0, 0, 0, 60, 0, uint8_t(a.size())};
        m.insert(m.end(), std::begin(head), std::end(head));
        m.insert(m.end(), a.begin(), a.end());
    }
    return m;
}

// A name server on the loop under test.
struct FakeServer final : Watcher {
    Loop& loop;
    Fd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)};
    uint16_t port = 0;
    std::string known = "disk.example.org";
    bool silent = false, lie = false;
    int queries = 0;
    explicit FakeServer(Loop& l) : loop(l) {
        auto a = *parse_numeric("127.0.0.1", 0);
        REQUIRE(::bind(fd.get(), a.get(), a.length) == 0);
        sockaddr_storage s;
        socklen_t length = sizeof s;
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&s), &length);
        port = from_sockaddr(reinterpret_cast<sockaddr*>(&s), length).port();
        REQUIRE(loop.add(fd.get(), EPOLLIN, *this));
    }
    ~FakeServer() { loop.remove(fd.get(), *this); }
    void on_ready(uint32_t) override {
        uint8_t b[600];
        sockaddr_storage from;
        socklen_t length = sizeof from;
        ssize_t n = ::recvfrom(fd.get(), b, sizeof b, 0, reinterpret_cast<sockaddr*>(&from), &length);
        if (n < 12) return;
        queries++;
        if (silent) return;
        Message q(b, b + n);
        dns::Type type = dns::Type(q[size_t(n) - 3]);
        bool match = *dns::query(get16(b), known, type) == q;
        Message m = answer_to(q, match ? 0 : 3, !match ? std::vector<Message>{} : type == dns::Type::a
                                  ? std::vector<Message>{{192, 0, 2, 7}} : std::vector<Message>{});
        if (lie) {
            Message wrong = m;
            wrong[0] ^= 0xff;                       // another id: must be ignored
            ::sendto(fd.get(), wrong.data(), wrong.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
            if (match && type == dns::Type::a) m.resize(m.size() - 2);
        }
        ::sendto(fd.get(), m.data(), m.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
};

Result<Addresses> run(Loop& loop, const std::string& name, const ResolveOptions& options) {
    std::optional<Result<Addresses>> out;
    Lookup lookup(loop, name, 3260, options, [&](Result<Addresses> r) { out.emplace(std::move(r)); });
    for (int i = 0; i < 10000 && !out; i++) loop.run_once(1000);
    REQUIRE(out);
    return std::move(*out);
}

}  // namespace

TEST_CASE("DNS queries and answers") {
    auto q = dns::query(0x1234, "a.bc", dns::Type::aaaa);
    REQUIRE(q);
    const uint8_t golden[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 2, 'b', 'c', 0, 0, 28, 0, 1};
    CHECK(*q == Message(std::begin(golden), std::end(golden)));
    CHECK_FALSE(dns::query(0, "", dns::Type::a));
    CHECK_FALSE(dns::query(0, "a..b", dns::Type::a));
    CHECK_FALSE(dns::query(0, std::string(64, 'a'), dns::Type::a));
    CHECK(dns::query(0, "a.", dns::Type::a));

    Message v6(16, 1);
    Message m = answer_to(*q, 0, {{192, 0, 2, 1}, v6});
    auto a = dns::answer(m, 0x1234, "A.bc", dns::Type::aaaa);
    CHECK(a.kind == dns::Answer::Kind::addresses);
    REQUIRE(a.addresses.size() == 1);
    CHECK(a.addresses[0].host() == "101:101:101:101:101:101:101:101");
    CHECK(dns::answer(m, 0x1235, "a.bc", dns::Type::aaaa).kind == dns::Answer::Kind::foreign);
    CHECK(dns::answer(m, 0x1234, "a.bd", dns::Type::aaaa).kind == dns::Answer::Kind::foreign);
    CHECK(dns::answer(m, 0x1234, "a.bc", dns::Type::a).kind == dns::Answer::Kind::foreign);
    CHECK(dns::answer(*q, 0x1234, "a.bc", dns::Type::aaaa).kind == dns::Answer::Kind::foreign);
    for (size_t n = 0; n < m.size(); n++) {         // every truncation is noticed
        Message cut(m.begin(), m.begin() + ssize_t(n));
        auto kind = dns::answer(cut, 0x1234, "a.bc", dns::Type::aaaa).kind;
        CHECK((kind == dns::Answer::Kind::foreign || kind == dns::Answer::Kind::malformed));
    }
    CHECK(dns::answer(m, 0x1234, "a.bc", dns::Type::aaaa, 0).addresses.empty());
    Message many = answer_to(*q, 0, std::vector<Message>(14, v6));
    CHECK(dns::answer(many, 0x1234, "a.bc", dns::Type::aaaa, 3).addresses.size() == 3);
}

TEST_CASE("names are found in hosts, then asked for") {
    TempFile hosts("127.0.0.1 localhost\n# 192.0.2.9 store\n192.0.2.5\tother store.example STORE # the disks\n2001:db8::5 store\n");
    auto loop = std::move(*Loop::create());
    FakeServer server(*loop);
    TempFile conf("nameserver 127.0.0.1\nsearch nowhere.example example.org\noptions ndots:1 timeout:1 attempts:1\n");
    ResolveOptions o;
    o.hosts = hosts.path;
    o.resolv_conf = conf.path;
    o.dns_port = server.port;

    auto numeric = run(*loop, "192.0.2.1", o);
    REQUIRE(numeric);
    CHECK((*numeric)[0].portal() == "192.0.2.1:3260");
    auto store = run(*loop, "store", o);
    REQUIRE(store);
    REQUIRE(store->size() == 2);
    CHECK((*store)[0].host() == "192.0.2.5");
    CHECK((*store)[1].host() == "2001:db8::5");
    o.family = AF_INET6;
    CHECK(run(*loop, "store", o)->size() == 1);
    CHECK(run(*loop, "localhost", o)->size() == 1);
    CHECK_FALSE(run(*loop, "192.0.2.1", o));
    o.family = AF_UNSPEC;
    CHECK(server.queries == 0);

    auto full = run(*loop, "disk.example.org", o);
    REQUIRE(full);
    CHECK((*full)[0].portal() == "192.0.2.7:3260");
    CHECK(server.queries == 2);
    auto searched = run(*loop, "disk", o);          // by the second domain of the search list
    REQUIRE(searched);
    CHECK((*searched)[0].host() == "192.0.2.7");
    server.lie = true;                              // one foreign answer, one that is cut
    auto lied = run(*loop, "disk.example.org", o);
    CHECK_FALSE(lied);
    server.lie = false;
    auto none = run(*loop, "nobody.example.org", o);
    REQUIRE_FALSE(none);
    CHECK(none.error().text() == "resolve nobody.example.org: no such host");
    server.silent = true;
    o.timeout_ms = 50;
    auto late = run(*loop, "disk.example.org", o);
    REQUIRE_FALSE(late);
    CHECK(late.error().text() == "resolve disk.example.org: no answer in time");
    for (const std::string& bad : {std::string(), std::string(300, 'a'), std::string("a..b")}) CHECK_FALSE(run(*loop, bad, o));
}

// Session reinstatement (RFC 7143 6.3.5) where the old and the new connection may live on different workers: each login takes the
// place of a session that has commands in flight, from several initiators' threads at once. Blocking clients; the server has
// threads of its own. What this finds it finds under ThreadSanitizer.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;

namespace {

constexpr int rounds = 25;

class Client {
public:
    explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const timeval limit{30, 0};             // a hang is an error, not a wait for ever
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }
    template <class Header>
    void send(Header h, const std::string& data = {}) {
        h.data_segment_length = uint32_t(data.size());
        std::string out(reinterpret_cast<const char*>(&h), sizeof h);
        out += data;
        out.resize(48 + pad4(data.size()));
        (void)!::send(fd_.get(), out.data(), out.size(), MSG_NOSIGNAL);
    }
    // 0: granted; -1: the connection ended (another login was faster).
    int login() {
        wire::LoginRequest r;
        r.flags = uint8_t(wire::LoginRequest::transit_bit | uint8_t(wire::Stage::operational) << 2 | uint8_t(wire::Stage::full_feature));
        r.isid[0] = 0x40;
        r.itt = 1;
        r.cmd_sn = 1;
        send(r, text_of({"InitiatorName=iqn.2026-01.example:one", "SessionType=Normal", std::string("TargetName=") + target_iqn}));
        wire::LoginResponse answer;
        if (!take(&answer, sizeof answer)) return -1;
        std::vector<uint8_t> text(pad4(size_t(answer.data_segment_length)));
        return take(text.data(), text.size()) ? int(uint16_t(answer.status)) : -1;
    }
    void write(uint32_t n) {
        wire::ScsiCommand c;
        c.flags = uint8_t(wire::final_bit | wire::ScsiCommand::write_bit | 1);
        c.lun = lun1;
        c.itt = n + 2;
        c.cmd_sn = n + 1;
        c.expected_data_transfer_length = 512;
        c.cdb[0] = 0x2a;
        c.cdb[5] = uint8_t(n);
        c.cdb[8] = 1;
        send(c, std::string(512, 'w'));
    }
    void reset() {
        wire::TmfRequest t;
        t.function = uint8_t(wire::final_bit | uint8_t(wire::TmfFunction::logical_unit_reset));
        t.lun = lun1;
        t.itt = 1000;
        t.cmd_sn = 100;
        send(t);
    }
    bool connected() const { return connected_; }

private:
    bool take(void* into, size_t n) { return n == 0 || ::recv(fd_.get(), into, n, MSG_WAITALL) == ssize_t(n); }
    Fd fd_;
    bool connected_ = false;
};

}  // namespace

TEST_CASE("sessions are reinstated across workers, again and again, with commands in flight") {
    ServerOptions options;
    options.threads = 2;
    options.busy_poll_us = 100;
    TestTarget t(options);
    t.store->cold = true;
    std::thread daemon([&] { t.server->run(); });
    std::atomic<int> granted{0}, ended{0}, wrong{0};
    auto initiator = [&] {
        std::vector<Client> old;                // they stay open until the target ends them
        for (int i = 0; i < rounds; i++) {
            Client& c = old.emplace_back(t.port);
            const int status = c.connected() ? c.login() : -2;
            (status == 0 ? granted : status == -1 ? ended : wrong)++;
            for (uint32_t n = 0; n < 4; n++) c.write(n);
            if (i % 5 == 4) c.reset();
        }
    };
    {
        std::thread a(initiator), b(initiator);
        a.join();
        b.join();
    }
    CHECK(granted + ended == 2 * rounds);
    CHECK(granted >= rounds);
    CHECK(wrong == 0);
    for (uint64_t end = io::Loop::clock_ms() + 30000; t.directory.sessions.size() > 0 && io::Loop::clock_ms() < end;)
        std::this_thread::yield();
    CHECK(t.directory.sessions.size() == 0);
    t.server->stop();
    daemon.join();
}

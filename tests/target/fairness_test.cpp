// One session that streams does not keep another from being served: counted in bytes that the stream got through the loop between
// the arrival of a small command on another connection and its answer. The stream's client runs on a thread of its own.
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::ScsiCommand;

namespace {

// One turn of a connection: what it may send (the pump's limit and the batch that exceeds it), or receive (a buffer).
constexpr uint64_t turn_out = (256 + 256) * 1024, turn_in = 256 * 1024 + wire::bhs_length;

struct Fixture {
    TestTarget target;
    RawClient stream{target}, small{target};
    Fixture() {
        stream.isid++;
        stream.initiator += ".stream";
        stream.enter({"MaxRecvDataSegmentLength=262144", "ImmediateData=Yes", "FirstBurstLength=262144"});
        small.enter({"MaxRecvDataSegmentLength=262144"});
    }
    uint64_t stream_octets() {
        for (auto& record : target.directory.sessions.all())
            if (record->initiator == stream.initiator) {
                std::lock_guard lock(record->mutex);
                return record->connections.front()->rx_octets + record->connections.front()->tx_octets;
            }
        return 0;
    }
    bool answered() const {
        int here = 0;
        return ::ioctl(small.fd(), FIONREAD, &here) == 0 && size_t(here) >= wire::bhs_length + 4096;
    }
    // Bytes of the stream between a 4 KiB read's sending and its answer, the worst of some.
    uint64_t worst() {
        uint64_t most = 0;
        for (int i = 0; i < 20; i++) {
            for (int turns = 0; turns < 3; turns++) target.server->loop().run_once(10);
            const uint64_t before = stream_octets();
            small.send(small.read(0, 8));
            REQUIRE(target.until([&] { return answered(); }));
            most = std::max(most, stream_octets() - before);
            auto pdu = small.receive();
            REQUIRE(pdu);
            CHECK(pdu->data.size() == 4096);
        }
        return most;
    }
};

}  // namespace

TEST_CASE("a session that reads 1 MiB a command leaves the others their turn") {
    Fixture f;
    // More commands than the window has room for would be ignored: each answer makes room for the next.
    std::vector<ScsiCommand> commands;
    for (int i = 0; i < 2000; i++) commands.push_back(f.stream.read(0, 2048));
    std::atomic<bool> end{false};
    std::thread client([&] {
        const int fd = f.stream.fd();
        std::vector<char> sink(1 << 20);
        size_t next = 0;
        uint64_t taken = 0;
        const uint64_t each = (uint64_t(1) << 20) + 4 * wire::bhs_length;       // four Data-In PDUs, status in the last
        while (!end) {
            for (; next < commands.size() && next < taken / each + 16; next++) ::send(fd, &commands[next], sizeof commands[next], MSG_NOSIGNAL);
            pollfd p{fd, POLLIN, 0};
            if (::poll(&p, 1, 10) <= 0) continue;
            ssize_t n = ::recv(fd, sink.data(), sink.size(), MSG_DONTWAIT);
            if (n > 0) taken += uint64_t(n);
        }
    });
    const uint64_t most = f.worst();
    end = true;
    client.join();
    CAPTURE(most);
    CHECK(most <= 2 * turn_out);
}

TEST_CASE("a session that writes in bulk leaves the others their turn") {
    Fixture f;
    std::vector<ScsiCommand> commands;
    for (int i = 0; i < 20000; i++) commands.push_back(f.stream.write(0, 256));
    std::atomic<bool> end{false};
    std::thread client([&] {
        const int fd = f.stream.fd();
        const std::vector<char> data(128 * 1024);
        std::vector<char> sink(1 << 16);
        uint64_t taken = 0;
        for (size_t next = 0; next < commands.size() && !end;) {
            if (next >= taken / wire::bhs_length + 16) {                // an answer is a header
                pollfd p{fd, POLLIN, 0};
                if (::poll(&p, 1, 10) <= 0) continue;
                ssize_t n = ::recv(fd, sink.data(), sink.size(), MSG_DONTWAIT);
                if (n > 0) taken += uint64_t(n);
                continue;
            }
            ScsiCommand c = commands[next++];
            c.data_segment_length = uint32_t(data.size());
            if (::send(fd, &c, sizeof c, MSG_NOSIGNAL | MSG_MORE) < 0) return;
            for (size_t at = 0; at < data.size() && !end;) {
                ssize_t n = ::send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n > 0) at += size_t(n);
                else { pollfd p{fd, POLLOUT, 0}; ::poll(&p, 1, 10); }
            }
        }
    });
    const uint64_t most = f.worst();
    end = true;
    client.join();
    CAPTURE(most);
    CHECK(most > 0);
    CHECK(most <= 4 * turn_in);
}

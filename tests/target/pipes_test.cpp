// Pipes between socket and file are bounded, and writes do without where there is none to be had.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/pattern.h"
#include "tests/support/target_harness.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::R2t;
using wire::ScsiResponse;

namespace {

constexpr size_t burst = 256 << 10;
const std::vector<std::string> large = {"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144", "InitialR2T=Yes", "ImmediateData=No"};

size_t open_pipes() {
    size_t n = 0;
    DIR* d = ::opendir("/proc/self/fd");
    REQUIRE(d);
    while (dirent* e = ::readdir(d)) {
        char link[64]{};
        if (::readlinkat(::dirfd(d), e->d_name, link, sizeof link - 1) > 0 && !std::strncmp(link, "pipe:", 5)) n++;
    }
    ::closedir(d);
    return n;
}

// One burst by one Data-Out, the first bytes of which have come.
struct Half {
    RawClient client;
    wire::ScsiCommand command;
    std::vector<uint8_t> data;
    Half(TestTarget& t, uint32_t number) : client(t), data(pattern(burst, uint8_t(number))) {
        client.isid += number;
        client.enter(large);
        command = client.write(number * uint32_t(burst / 512), burst / 512);
        client.send(command);
        auto r2t = client.expect<R2t>();
        client.send_head(client.data_out(command, r2t.ttt, 0, 0, true), burst);
        t.turn(1);
        client.send_raw(Bytes(data).first(10000));
        t.turn(1);
    }
    void finish(TestTarget& t) {
        client.send_raw(Bytes(data).subspan(10000));
        CHECK(client.expect<ScsiResponse>().status == 0);
        CHECK(read_back(*t.store, uint64_t(command.cdb[3]) << 25 | uint64_t(command.cdb[4]) << 17 | uint64_t(command.cdb[5]) << 9, burst) == data);
    }
};

}  // namespace

TEST_CASE("payloads that stop half-way hold a bounded number of pipes; those without go by copies") {
    TempDir dir("/dev/shm");
    ServerOptions options;
    options.max_cold_bytes = 512 * 1024;            // eight pipes
    const size_t before = open_pipes();
    TestTarget t(options, file_medium(dir / "disk", 16 * burst));
    std::vector<std::unique_ptr<Half>> halves;
    for (uint32_t i = 0; i < 12; i++) halves.push_back(std::make_unique<Half>(t, i));
    CHECK(open_pipes() - before == 16);             // two ends each
    for (auto& h : halves) h->finish(t);
    CHECK(open_pipes() - before == 8);              // four are kept
    Half again(t, 12);
    CHECK(open_pipes() - before == 8);
    again.client.close();
    CHECK(t.until([&] { return t.server->connections() == 12; }));
    CHECK(open_pipes() - before == 6);              // it was not empty
}

TEST_CASE("without a descriptor left for a pipe, a write goes by copies, and by a pipe again later") {
    TempDir dir("/dev/shm");
    TestTarget t({}, file_medium(dir / "disk", 16 * burst));
    auto first = std::make_unique<RawClient>(t);
    first->enter(large);
    auto c = first->write(0, burst / 512);
    first->send(c);
    auto r2t = first->expect<R2t>();
    rlimit files{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
    const rlimit none{0, files.rlim_max};
    first->send_head(first->data_out(c, r2t.ttt, 0, 0, true), burst);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto data = pattern(burst, 3);
    first->send_raw(data);
    auto answer = first->receive();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
    REQUIRE(answer);
    CHECK(answer->as<ScsiResponse>().status == 0);
    CHECK(t.store->spliced == 0);
    CHECK(read_back(*t.store, 0, burst) == data);
    t.turn(201);                                    // it does not try at each payload
    Half later(t, 1);
    later.finish(t);
    CHECK(t.store->spliced > 0);
}

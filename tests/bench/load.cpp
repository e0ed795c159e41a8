// A cheap client for the benchmark, independent of the code under test: fixed depth over any number of sessions on one thread,
// data thrown away in the kernel where no digest asks to see it. Speaks iSCSI (a full-feature session of its own) and the roof.
//   load HOST:PORT [--target IQN --lun N | --roof] [--sessions N] [--depth N] [--bs BYTES] [--read PERCENT] [--seq]
//        [--seconds S] [--warm S] [--digests] [--size BYTES] [--hold] [--cdb tur] [--count N] [--by-reference]
// Prints one line of JSON. --warm: that long before anything is counted. --hold: log in, print, keep the sessions idle until stdin ends. --count: that many commands,
// each batch of DEPTH answered before the next is sent, so that a server does the same work each time. --by-reference: long payloads
// are sent by sendfile.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <string_view>
#include <sys/epoll.h>
#include <thread>

#include "tests/bench/load.h"

namespace bench {

uint64_t now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

void Histogram::add(uint64_t ns) {
    const int top = ns < 64 ? 0 : 63 - __builtin_clzll(ns) - 5;
    counts[std::min<size_t>(size_t(top) * 32 + ((ns >> top) & 63), counts.size() - 1)]++;
    total++;
}

double Histogram::percentile(double p) const {
    uint64_t want = uint64_t(double(total) * p / 100), seen = 0;
    for (size_t i = 0; i < counts.size(); i++)
        if ((seen += counts[i]) > want) {
            const size_t top = i < 64 ? 0 : i / 32 - 1;
            return double(uint64_t(i - top * 32) << top) / 1000.0;
        }
    return 0;
}

namespace {

int usage() { fprintf(stderr, "usage: load HOST:PORT [--target IQN --lun N | --roof] [--sessions N] [--depth N] [--bs BYTES] [--read PERCENT] "
                              "[--seq] [--seconds S] [--warm S] [--digests] [--size BYTES] [--hold] [--cdb tur] [--count N] [--by-reference]\n"); return 64; }

bool parse(int argc, char** argv, Options& o) {
    if (argc < 2) return false;
    std::string_view at = argv[1];
    size_t colon = at.rfind(':');
    if (colon == at.npos) return false;
    o.host = at.substr(0, colon), o.port = uint16_t(atoi(argv[1] + colon + 1));
    for (int i = 2; i < argc; i++) {
        std::string_view a = argv[i];
        if (a == "--roof") { o.roof = true; continue; }
        if (a == "--seq") { o.sequential = true; continue; }
        if (a == "--digests") { o.digests = true; continue; }
        if (a == "--by-reference") { o.by_reference = true; continue; }
        if (a == "--hold") { o.hold = true; continue; }
        if (i + 1 == argc) return false;
        const char* v = argv[++i];
        if (a == "--target") o.target = v;
        else if (a == "--lun") o.lun = unsigned(atoi(v));
        else if (a == "--sessions") o.sessions = unsigned(atoi(v));
        else if (a == "--depth") o.depth = unsigned(atoi(v));
        else if (a == "--bs") o.bs = uint32_t(atoi(v));
        else if (a == "--read") o.read_percent = unsigned(atoi(v));
        else if (a == "--seconds") o.seconds = atof(v);
        else if (a == "--warm") o.warm = atof(v);
        else if (a == "--size") o.size = strtoull(v, nullptr, 10);
        else if (a == "--cdb") o.tur = std::string_view(v) == "tur";
        else if (a == "--count") o.count = strtoull(v, nullptr, 10);
        else return false;
    }
    return o.sessions > 0 && o.depth > 0 && o.depth <= 4096 && o.bs >= 512 && (o.roof || !o.target.empty());
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    using namespace bench;
    Options o;
    if (!parse(argc, argv, o)) return usage();
    std::vector<std::unique_ptr<Session>> sessions(o.sessions);
    auto set_up = [&](unsigned i) { sessions[i] = o.roof ? make_roof_session(o) : make_iscsi_session(o, i); };
    const uint64_t begin = now_ns();
    if (o.hold || o.sessions > 64) {
        for (unsigned i = 0; i < o.sessions; i++) set_up(i);
    } else {                                // side by side: there is a target that takes a second for each login
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < o.sessions; i++) threads.emplace_back(set_up, i);
        for (auto& t : threads) t.join();
    }
    for (unsigned i = 0; i < o.sessions; i++)
        if (!sessions[i]) { fprintf(stderr, "load: session %u cannot be set up\n", i); return 1; }
    const double login_seconds = double(now_ns() - begin) / 1e9;
    if (o.hold) {
        printf("{\"sessions\": %u, \"login_seconds\": %.4f}\n", o.sessions, login_seconds);
        fflush(stdout);
        char c;
        while (read(0, &c, 1) > 0) {}
        return 0;
    }
    int ep = epoll_create1(EPOLL_CLOEXEC);
    Totals totals;
    payload();
    uint64_t start = now_ns(), end = start + uint64_t((o.warm > 0 ? o.warm : o.seconds) * 1e9);
    bool warming = o.warm > 0;
    for (auto& s : sessions) {
        epoll_event e{};
        e.events = EPOLLIN | EPOLLOUT | EPOLLET;
        e.data.ptr = s.get();
        epoll_ctl(ep, EPOLL_CTL_ADD, s->fd(), &e);
        s->fill(totals);
        if (!s->flush()) { fprintf(stderr, "load: send failed\n"); return 1; }
    }
    uint64_t now = now_ns();
    while (o.count ? totals.latency.total < o.count : warming || now < end) {
        epoll_event events[64];
        int n = epoll_wait(ep, events, 64, o.count ? 20000 : 1000);
        if (n == 0) { fprintf(stderr, "load: nothing happened for a second\n"); return 1; }
        for (int i = 0; i < n; i++) {
            auto* s = static_cast<Session*>(events[i].data.ptr);
            const uint64_t before = totals.latency.total;
            if (!s->receive(totals)) { fprintf(stderr, "load: connection lost or answered wrongly: %s\n", s->trouble()); return 1; }
            s->done += totals.latency.total - before;
            s->fill(totals);
            if (!s->flush()) { fprintf(stderr, "load: send failed\n"); return 1; }
        }
        now = now_ns();
        if (warming && now >= end) {
            warming = false;
            totals.latency = {};
            start = now, end = start + uint64_t(o.seconds * 1e9);
        }
    }
    const double seconds = double(now - start) / 1e9;
    uint64_t least = ~0ull;                 // what the session that was served worst got
    for (auto& s : sessions) least = std::min(least, s->done);
    const double ios = double(totals.latency.total);
    printf("{\"ios\": %.0f, \"seconds\": %.3f, \"iops\": %.0f, \"mib_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %llu, \"login_seconds\": %.4f, "
           "\"least_ios\": %llu}\n",
           ios, seconds, ios / seconds, ios * o.bs / seconds / 1048576, totals.latency.percentile(50), totals.latency.percentile(99),
           (unsigned long long)totals.errors, login_seconds, (unsigned long long)least);
    return totals.errors ? 1 : 0;
}

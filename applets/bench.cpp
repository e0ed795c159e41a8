// iscsi bench: IOPS, throughput and latency of a logical unit, in fio's terms.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "applets/applet.h"
#include "applets/daemon.h"
#include "applets/initiator_tool.h"
#include "applets/units.h"
#include "core/base/json.h"
#include "core/base/sizes.h"
#include "core/config/records.h"
#include "core/initiator/load.h"

namespace iscsi::applets {
namespace {

using namespace initiator;

constexpr cli::Option options[] = {
    {'w', "rw", cli::Arg::required, "MODE", "randread (default), randwrite, randrw, read, write or rw (sequential)"},
    {'m', "rwmix", cli::Arg::required, "PERCENT", "reads among randrw and rw (50)"},
    {'b', "bs", cli::Arg::required, "SIZE", "bytes per command (4k)"},
    {'q', "depth", cli::Arg::required, "N", "commands in flight per session (32)"},
    {'s', "sessions", cli::Arg::required, "N", "sessions (1)"},
    {'t', "time", cli::Arg::required, "SECONDS", "how long to measure (5); Ctrl-C: end now with the figures so far, exit code 130"},
    {'c', "count", cli::Arg::required, "N", "so many commands instead"},
    {0, "ramp", cli::Arg::required, "SECONDS", "run so long before measuring (0)"},
    {0, "size", cli::Arg::required, "SIZE", "use only so much of the unit, from its start"},
    {0, "seed", cli::Arg::required, "N", "of the random offsets (1)"},
    {0, "copy", cli::Arg::none, nullptr, "copy what is read to memory; else it is dropped in the kernel"},
    {0, "force", cli::Arg::none, nullptr, "writes: destroy what is on the unit, without asking"},
    {0, "json", cli::Arg::none, nullptr, "print JSON"},
    ISCSI_INITIATOR_OPTIONS,
};
constexpr cli::Interface interface = {
    "iscsi bench", "measure a logical unit", "iscsi bench [option]... iscsi://HOST[:PORT]/TARGET/LUN", options, url_help,
    "iscsi bench --rw randread --bs 4k --depth 32 --time 10 iscsi://192.0.2.10/iqn.2001-04.com.example:disk1/1\n", 1};

bool parse_mode(const std::string& mode, const std::string& mix, LoadPlan& plan) {
    const auto reads = parse_number(mix, 0, 100);
    if (!reads) return false;
    plan.random = mode.rfind("rand", 0) == 0;
    const std::string kind = plan.random ? mode.substr(4) : mode;
    if (kind == "read") plan.write_percent = 0;
    else if (kind == "write") plan.write_percent = 100;
    else if (kind == "rw" || mode == "readwrite") plan.write_percent = unsigned(100 - *reads);
    else return false;
    return true;
}

// A number of at least `min`, or a complaint.
bool take_number(const cli::Parsed& parsed, const char* name, uint64_t min, uint64_t max, uint64_t& out, std::string& error) {
    auto text = parsed.get(name);
    if (!text) return true;
    auto n = parse_size(*text);
    if (!n || *n < min || *n > max) {
        error = std::string("--") + name + ": not in " + std::to_string(min) + ".." + std::to_string(max) + ": " + *text;
        return false;
    }
    out = *n;
    return true;
}

bool take_seconds(const cli::Parsed& parsed, const char* name, uint64_t& ms, std::string& error) {
    auto text = parsed.get(name);
    if (!text) return true;
    const auto s = parse_decimal(*text);
    if (!s || *s > 1e6) {
        error = std::string("--") + name + ": no number of seconds: " + *text;
        return false;
    }
    ms = uint64_t(*s * 1000);
    return true;
}

void print_side(const char* name, const LoadResult::Side& s, double seconds) {
    const Histogram& h = s.latency;
    if (h.count() == 0) return;
    std::printf("  %-5s IOPS=%.0f, %.1f MB/s, %llu I/Os\n", name, double(h.count()) / seconds, double(s.bytes) / seconds / 1e6,
                static_cast<unsigned long long>(h.count()));
    std::printf("        latency us: min %.1f mean %.1f p50 %.1f p90 %.1f p99 %.1f p99.9 %.1f max %.1f\n", double(h.min()) / 1e3,
                double(h.mean()) / 1e3, double(h.percentile(50)) / 1e3, double(h.percentile(90)) / 1e3, double(h.percentile(99)) / 1e3,
                double(h.percentile(99.9)) / 1e3, double(h.max()) / 1e3);
}

void print_side_json(const char* name, const LoadResult::Side& s, double seconds) {
    const Histogram& h = s.latency;
    std::printf("\"%s\":{\"ios\":%llu,\"iops\":%.1f,\"bytes_per_s\":%.0f,\"lat_us\":{\"min\":%.2f,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,"
                "\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}},",
                name, static_cast<unsigned long long>(h.count()), double(h.count()) / seconds, double(s.bytes) / seconds, double(h.min()) / 1e3,
                double(h.mean()) / 1e3, double(h.percentile(50)) / 1e3, double(h.percentile(90)) / 1e3, double(h.percentile(99)) / 1e3,
                double(h.percentile(99.9)) / 1e3, double(h.max()) / 1e3);
}

}  // namespace

int bench_main(int argc, char** argv) {
    ToolLine line = tool_line(interface, argc, argv, 1, 1);
    if (line.exit_code >= 0) return line.exit_code;
    const cli::Parsed& p = line.parsed;
    auto url = disk_url(p.words[0]);
    if (!url) return usage_error(interface, url.error().text());
    LoadPlan plan;
    plan.session = session_for(line, *url);
    plan.session.replacement_timeout_ms = 0;
    plan.lun = lun_field(*url->lun);
    const std::string mode = p.get("rw").value_or("randread");
    if (!parse_mode(mode, p.get("rwmix").value_or("50"), plan))
        return usage_error(interface, "--rw: one of randread, randwrite, randrw, read, write, rw; --rwmix 0..100");
    uint64_t block = 4096, depth = 32, sessions = 1;
    std::string error;
    bool ok = take_number(p, "bs", 512, 64u << 20, block, error) && take_number(p, "depth", 1, 1024, depth, error) &&
              take_number(p, "sessions", 1, 4096, sessions, error) && take_number(p, "count", 1, UINT64_MAX, plan.count, error) &&
              take_number(p, "size", 512, UINT64_MAX, plan.range, error) && take_number(p, "seed", 0, UINT64_MAX, plan.seed, error) &&
              take_seconds(p, "time", plan.time_ms, error) && take_seconds(p, "ramp", plan.ramp_ms, error);
    if (!ok) return usage_error(interface, error);
    if (plan.write_percent > 0 && !p.has("force"))
        return usage_error(interface, "writing destroys what is on " + url->text() + "; --force if that is meant");
    plan.block = uint32_t(block);
    plan.depth = unsigned(depth);
    plan.sessions = unsigned(sessions);
    plan.discard = !p.has("copy");
    plan.busy_poll_us = default_busy_poll_us();

    rlimit files{};
    if (sessions > 500 && ::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < sessions + 32) {
        files.rlim_cur = std::min<rlim_t>(files.rlim_max, sessions + 32);
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    auto loop = io::Loop::create();
    if (!loop) return tool_error(interface, loop.error().text());
    Result<std::unique_ptr<Signals>> signals = std::unique_ptr<Signals>();
    bool interrupted = false;
    plan.loop = loop->get();
    plan.interrupted = &interrupted;
    plan.begins = [&] {
        signals = Signals::create(**loop, [&](int) {
            if (interrupted) ::_exit(130);      // the second one: at once
            interrupted = true;
        });
    };
    auto result = run_load(plan);
    if (!result) return tool_error(interface, url->text() + ": " + result.error().text());
    const LoadResult& r = *result;
    const int exit_code = r.interrupted ? 130 : 0;
    if (r.interrupted && r.count() == 0 && !p.has("json")) return tool_error(interface, "interrupted before anything was measured"), exit_code;
    const double seconds = r.seconds > 0 ? r.seconds : 1e-9;
    const double cpu = r.user_seconds + r.system_seconds, per_io = r.count() ? cpu * 1e6 / double(r.count()) : 0;
    if (p.has("json")) {
        std::printf("{\"url\":%s,\"rw\":%s,\"bs\":%u,\"depth\":%u,\"sessions\":%u,\"seconds\":%.3f,", json_string(url->text()).c_str(),
                    json_string(mode).c_str(), plan.block, plan.depth, plan.sessions, seconds);
        print_side_json("read", r.read, seconds);
        print_side_json("write", r.write, seconds);
        std::printf("\"header_digest\":%s,\"data_digest\":%s,\"login_us\":%llu,\"retries\":%llu,\"client_cpu\":{\"user_s\":%.4f,"
                    "\"system_s\":%.4f,\"us_per_io\":%.3f},\"interrupted\":%s}\n",
                    r.header_digest ? "true" : "false", r.data_digest ? "true" : "false", static_cast<unsigned long long>(r.login_us),
                    static_cast<unsigned long long>(r.retries), r.user_seconds, r.system_seconds, per_io, r.interrupted ? "true" : "false");
        return exit_code;
    }
    std::printf("%s bs=%u depth=%u sessions=%u %.2f s%s%s%s\n", mode.c_str(), plan.block, plan.depth, plan.sessions, seconds,
                r.header_digest ? ", header digest" : "", r.data_digest ? ", data digest" : "", r.interrupted ? ", interrupted" : "");
    print_side("read", r.read, seconds);
    print_side("write", r.write, seconds);
    if (plan.sessions > 1) std::printf("  %u logins in %.1f ms\n", plan.sessions, double(r.login_us) / 1000);
    std::printf("  client CPU: %.2f us per I/O, user %.0f %%, system %.0f %%\n", per_io, 100 * r.user_seconds / seconds,
                100 * r.system_seconds / seconds);
    return exit_code;
}

}  // namespace iscsi::applets

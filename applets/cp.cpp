// iscsi cp: copies disk images between files and logical units.
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "applets/applet.h"
#include "applets/daemon.h"
#include "applets/initiator_tool.h"
#include "core/base/file.h"
#include "core/base/sizes.h"
#include "core/initiator/copy.h"

namespace iscsi::applets {
namespace {

using namespace initiator;

constexpr cli::Option options[] = {
    {0, "verify", cli::Arg::none, nullptr, "read both sides again and compare"},
    {0, "state", cli::Arg::required, "FILE", "note there how far it is durable; removed at the end"},
    {0, "resume", cli::Arg::none, nullptr, "go on where the file of --state says"},
    {'b', "bs", cli::Arg::required, "SIZE", "bytes per command (1M)"},
    {'q', "depth", cli::Arg::required, "N", "commands in flight (16; fewer where memory is short)"},
    {0, "no-zeros", cli::Arg::none, nullptr, "write zeros as data; only real holes are left out"},
    {0, "no-flush", cli::Arg::none, nullptr, "do not wait until the destination is durable"},
    {'T', "timeout", cli::Arg::required, "SECONDS", "a lost session is tried for so long before the copy fails (120); 0: for ever"},
    {0, "quiet", cli::Arg::none, nullptr, "no progress bar"},
    {0, "json", cli::Arg::none, nullptr, "print the result as JSON"},
    ISCSI_INITIATOR_OPTIONS,
};
constexpr cli::Interface interface = {
    "iscsi cp", "copy a disk image to, from or between logical units", "iscsi cp [option]... SOURCE DESTINATION", options, url_help,
    "iscsi cp --verify disk.img iscsi://192.0.2.10/iqn.2001-04.com.example:disk1/1\n"
    "iscsi cp iscsi://192.0.2.10/iqn.2001-04.com.example:disk1/1 backup.img\n",
    1};

class Bar {
public:
    explicit Bar(bool on) : on_(on), begin_(io::Loop::clock_ms()) {}
    void show(const CopyProgress& p) {
        if (!on_) return;
        if (p.verifying != verifying_) {
            verifying_ = p.verifying;
            begin_ = io::Loop::clock_ms();
        }
        const double part = p.total ? double(p.done) / double(p.total) : 1, elapsed = double(io::Loop::clock_ms() - begin_) / 1000;
        const uint64_t rate = elapsed > 0 ? uint64_t(double(p.done) / elapsed) : 0;
        char bar[31];
        for (int i = 0; i < 30; i++) bar[i] = i < int(part * 30) ? '#' : '.';
        bar[30] = '\0';
        const int left = part > 0 ? int(elapsed / part - elapsed + 0.5) : 0;
        std::fprintf(stderr, "\r%s [%s] %3d %% %s of %s, %s/s, %d:%02d left \033[K", p.verifying ? "verify" : "copy", bar, int(part * 100),
                     brief_size(p.done).c_str(), brief_size(p.total).c_str(), brief_size(rate).c_str(), left / 60, left % 60);
    }
    void clear() {
        if (on_) std::fprintf(stderr, "\r\033[K");
    }

private:
    bool on_, verifying_ = false;
    uint64_t begin_;
};

// Sixteen, but buffers take no more than a sixteenth of the memory.
uint64_t default_depth(uint64_t chunk) {
    struct sysinfo system{};
    if (::sysinfo(&system) != 0) return 16;
    return std::clamp<uint64_t>(uint64_t(system.totalram) * system.mem_unit / 16 / chunk, 1, 16);
}

Result<std::unique_ptr<CopySide>> open_side(const std::string& word, const ToolLine& line, io::Loop& loop, const CopySide* source, bool resume) {
    if (is_url(word)) {
        const Url url = TRY(disk_url(word));
        SessionConfig config = session_for(line, url);
        config.replacement_timeout_ms = line.timeout_ms ? line.timeout_ms : UINT64_MAX / 2;
        return open_remote_side(url, std::move(config), loop, source != nullptr);
    }
    return source ? open_file_destination(word, source->size(), resume, loop) : open_file_source(word);
}

}  // namespace

int cp_main(int argc, char** argv) {
    ToolLine line = tool_line(interface, argc, argv, 2, 2);
    if (line.exit_code >= 0) return line.exit_code;
    const cli::Parsed& p = line.parsed;
    if (!is_url(p.words[0]) && !is_url(p.words[1]))
        return usage_error(interface, "neither is a URL (iscsi://...); cp(1) copies files");
    CopyPlan plan;
    plan.verify = p.has("verify");
    plan.detect_zeros = !p.has("no-zeros");
    plan.flush = !p.has("no-flush");
    plan.state_file = p.get("state").value_or("");
    plan.resume = p.has("resume");
    if (plan.resume && plan.state_file.empty()) return usage_error(interface, "--resume needs --state FILE");
    auto chunk = parse_size(p.get("bs").value_or("1M")), depth = parse_size(p.get("depth").value_or("16"));
    if (chunk && *chunk && !p.has("depth")) depth = default_depth(*chunk);
    if (!chunk || *chunk < 4096 || *chunk > (64u << 20) || !depth || *depth < 1 || *depth > 128)
        return usage_error(interface, "--bs: 4k to 64M; --depth: 1 to 128");
    plan.chunk = *chunk;
    plan.depth = unsigned(*depth);

    auto loop = io::Loop::create();
    if (!loop) return tool_error(interface, loop.error().text());
    auto source = open_side(p.words[0], line, **loop, nullptr, false);
    if (!source) return tool_error(interface, source.error().text());
    auto destination = open_side(p.words[1], line, **loop, source->get(), plan.resume);
    if (!destination) return tool_error(interface, destination.error().text());

    Copy copy(**loop, **source, **destination, plan);
    bool interrupted = false;
    auto signals = Signals::create(**loop, [&](int) {
        if (interrupted) ::_exit(130);          // the second one: at once
        interrupted = true;
        copy.stop();
    });
    Bar bar(!p.has("quiet") && ::isatty(STDERR_FILENO));
    const uint64_t begin = io::Loop::clock_ms();
    CopyResult result = copy.run([&](const CopyProgress& progress) { bar.show(progress); });
    bar.clear();
    const double elapsed = double(std::max<uint64_t>(io::Loop::clock_ms() - begin, 1)) / 1000;
    if (!result.ok) {
        tool_error(interface, result.error + (!plan.state_file.empty() && exists(plan.state_file) ? "; go on with --resume" : ""));
        return result.stopped ? 130 : 1;
    }
    if (p.has("json"))
        std::printf("{\"bytes\":%llu,\"data\":%llu,\"holes\":%llu,\"resumed_at\":%llu,\"seconds\":%.3f,\"verified\":%s}\n",
                    static_cast<unsigned long long>(result.total), static_cast<unsigned long long>(result.data),
                    static_cast<unsigned long long>(result.holes), static_cast<unsigned long long>(result.resumed_at), elapsed,
                    plan.verify ? "true" : "false");
    else if (!p.has("quiet"))
        std::printf("%s copied in %.1f s (%s/s): %s data, %s holes%s\n", brief_size(result.total).c_str(), elapsed,
                    brief_size(uint64_t(double(result.total) / elapsed)).c_str(), brief_size(result.data).c_str(),
                    brief_size(result.holes).c_str(), plan.verify ? ", verified" : "");
    return 0;
}

}  // namespace iscsi::applets

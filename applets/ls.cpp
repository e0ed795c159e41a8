// iscsi ls: the targets of a portal, and their logical units.
#include <algorithm>
#include <cstdio>
#include <set>

#include "applets/applet.h"
#include "applets/initiator_tool.h"
#include "core/base/json.h"
#include "core/base/sizes.h"
#include "core/config/records.h"
#include "core/initiator/advice.h"
#include "core/initiator/remote_lun.h"

namespace iscsi::applets {
namespace {

using namespace initiator;

constexpr cli::Option options[] = {
    {'s', "show-luns", cli::Arg::none, nullptr, "log in to each target and list its logical units"},
    {0, "url", cli::Arg::none, nullptr, "print URLs instead"},
    {0, "json", cli::Arg::none, nullptr, "print JSON"},
    {'T', "timeout", cli::Arg::required, "SECONDS", "the whole may take so long (120); 0: for ever"},
    ISCSI_INITIATOR_OPTIONS,
};
constexpr cli::Interface interface = {
    "iscsi ls", "list the targets of a portal", "iscsi ls [option]... iscsi://HOST[:PORT][/TARGET]", options, url_help,
    "iscsi ls -s iscsi://192.0.2.10\n", 1};

struct LunLine {
    uint16_t number;
    Inquiry inquiry;
    uint64_t bytes = 0;
    uint32_t block_size = 0;
};

Result<std::vector<LunLine>> list_luns(const Url& url, const ToolLine& tool, uint64_t limit_ms) {
    SessionConfig settings = session_for(tool, url);
    settings.replacement_timeout_ms = 0;
    auto client = TRY(Client::connect(settings, nullptr, limit_ms));
    std::vector<LunLine> lines;
    for (uint64_t lun : TRY(report_luns(*client))) {
        auto inq = inquiry(*client, lun);
        if (!inq && client->ended()) return inq.error();
        if (!inq) continue;                     // listed, but gone again
        LunLine line{lun_number(lun), *inq};
        if (line.inquiry.qualifier() == 0 && (inq->device_type() == 0 || inq->device_type() == 5)) {
            if (auto disk = disk_info(*client, lun)) {
                line.bytes = disk->bytes();
                line.block_size = disk->block_size;
            }
        }
        lines.push_back(std::move(line));
    }
    return lines;
}

void print_luns(const std::vector<LunLine>& lines, bool json) {
    const char* separator = "";
    for (const LunLine& l : lines) {
        if (json) {
            std::printf("%s{\"lun\":%u,\"type\":%s,\"vendor\":%s,\"product\":%s,\"revision\":%s", separator, l.number,
                        json_string(device_type_name(l.inquiry.device_type())).c_str(), json_string(l.inquiry.vendor).c_str(),
                        json_string(l.inquiry.product).c_str(), json_string(l.inquiry.revision).c_str());
            if (l.block_size) std::printf(",\"bytes\":%llu,\"block_size\":%u", static_cast<unsigned long long>(l.bytes), l.block_size);
            std::printf("}");
            separator = ",";
        } else {
            std::printf("  Lun:%-4u %-25s %s %s", l.number, device_type_name(l.inquiry.device_type()), l.inquiry.vendor.c_str(),
                        l.inquiry.product.c_str());
            if (l.block_size) std::printf(" (Size:%s)", brief_size(l.bytes).c_str());
            std::printf("\n");
        }
    }
}

}  // namespace

int ls_main(int argc, char** argv) {
    ToolLine line = tool_line(interface, argc, argv, 1, 1);
    if (line.exit_code >= 0) return line.exit_code;
    auto url = parse_url(line.parsed.words[0]);
    if (!url) return usage_error(interface, url.error().text());
    const bool json = line.parsed.has("json");

    DiscoverySettings settings;
    settings.host = url->host;
    settings.port = url->port;
    settings.login = session_for(line, *url).login;
    settings.login.offers.max_recv_data_segment = 32768;
    // One unresponsive target after the other must not add up.
    const uint64_t begin = io::Loop::clock_ms();
    auto left = [&] {
        const uint64_t gone = io::Loop::clock_ms() - begin;
        return line.timeout_ms == 0 ? 0 : std::max<uint64_t>(line.timeout_ms, gone + 1) - gone;
    };
    if (line.timeout_ms) settings.timeout_ms = std::min(settings.timeout_ms, line.timeout_ms);
    DiscoveryResult found = discover(settings);
    if (!found.ok) return tool_error(interface, url->text() + ": " + found.failure.text + advice(found.failure, !url->user.empty()));

    int exit_code = 0;
    const char* separator = "";
    bool known = false;
    std::set<std::string> seen;                 // a target's units are the same through each of its portals
    if (json) std::printf("[");
    for (const DiscoveredPortal& p : found.portals) {
        if (!url->target_name.empty() && url->target_name != p.target_name) continue;
        known = true;
        Url place = *url;
        place.host = p.host;
        place.port = p.port;
        place.target_name = p.target_name;
        place.lun.reset();
        std::string portal = place.host.find(':') == std::string::npos ? place.host : "[" + place.host + "]";
        portal += ":" + std::to_string(p.port);
        const bool show_luns = line.parsed.has("show-luns") && seen.insert(p.target_name).second;
        Result<std::vector<LunLine>> luns = std::vector<LunLine>();
        if (show_luns) luns = list_luns(place, line, left());
        if (!luns) {
            tool_error(interface, place.text() + ": " + luns.error().text());
            exit_code = 1;
        }
        if (json) {
            std::printf("%s\n {\"target\":%s,\"portal\":%s,\"tpgt\":%u,\"url\":%s", separator, json_string(p.target_name).c_str(),
                        json_string(portal).c_str(), p.tpgt, json_string(place.text()).c_str());
            if (show_luns && luns) {
                std::printf(",\"luns\":[");
                print_luns(*luns, true);
                std::printf("]");
            }
            std::printf("}");
            separator = ",";
        } else if (line.parsed.has("url") && show_luns && luns) {
            for (const LunLine& l : *luns) std::printf("%s/%u\n", place.text().c_str(), l.number);
        } else if (line.parsed.has("url")) {
            std::printf("%s\n", place.text().c_str());
        } else {
            std::printf("Target:%s Portal:%s,%u\n", p.target_name.c_str(), portal.c_str(), p.tpgt);
            if (luns) print_luns(*luns, false);
        }
    }
    if (json) std::printf("\n]\n");
    if (!known && !url->target_name.empty()) return tool_error(interface, url->text() + ": no such target; without its name, `iscsi ls` shows those that this host may use");
    return exit_code;
}

}  // namespace iscsi::applets

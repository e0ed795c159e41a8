#include "applets/initiator_tool.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/log.h"
#include "core/base/sizes.h"
#include "core/config/iscsid_conf.h"
#include "core/config/node_records.h"
#include "core/wire/text_keys.h"

namespace iscsi::applets {

ToolLine tool_line(const cli::Interface& interface, int argc, char** argv, size_t min_words, size_t max_words) {
    ToolLine line;
    line.parsed = cli::parse(interface, argc, argv);
    hide_secrets(argc, argv);
    if (const auto code = settled(interface, line.parsed)) {
        line.exit_code = *code;
        return line;
    }
    if (line.parsed.words.size() < min_words || line.parsed.words.size() > max_words) {
        line.exit_code = usage_error(interface, std::string("usage: ") + interface.usage);
        return line;
    }
    log::open(interface.name, log::Sink::foreground, line.parsed.has("debug") ? log::Level::debug : log::Level::info);
    for (auto [name, ms] : {std::pair("command-timeout", &line.command_timeout_ms), {"timeout", &line.timeout_ms}}) {
        auto text = line.parsed.get(name);
        if (!text) continue;
        auto n = parse_size(*text);
        if (!n || *n > 1000000 || text->find_first_not_of("0123456789") != text->npos) {
            line.exit_code = usage_error(interface, std::string("--") + name + ": a number of seconds, not '" + *text + "'");
            return line;
        }
        *ms = *n * 1000;
    }
    const auto given = line.parsed.get("initiator-name");
    line.initiator_name = given ? *given : config::initiator_name_here(config::state_directory() + "/initiatorname.iscsi");
    if (!wire::valid_iscsi_name(line.initiator_name)) {
        std::fprintf(stderr, "%s: '%s' is no iSCSI name: iqn.YYYY-MM.DOMAIN:TEXT, eui. and 16 hex digits, naa. and 16 or 32\n", interface.name, line.initiator_name.c_str());
        line.exit_code = 2;
    }
    return line;
}

initiator::SessionConfig session_for(const ToolLine& line, const initiator::Url& url) {
    initiator::SessionConfig s = initiator::session_config(url, line.initiator_name);
    s.command_timeout_ms = line.command_timeout_ms;
    if (s.command_timeout_ms) {
        s.abort_timeout_ms = std::min(s.abort_timeout_ms, s.command_timeout_ms);
        s.reset_timeout_ms = std::min(s.reset_timeout_ms, s.command_timeout_ms);
    }
    return s;
}

Result<initiator::Url> disk_url(const std::string& text, bool needs_lun) {
    auto url = TRY(initiator::parse_url(text));
    if (url.target_name.empty()) return Error{0, url.text(), "names no target: append /TARGET/LUN (`iscsi ls` lists them)"};
    if (needs_lun && !url.lun) return Error{0, url.text(), "names no LUN: append /LUN (`iscsi ls -s` lists them)"};
    return url;
}

void hide_secrets(int argc, char** argv) {
    for (int i = 1; i < argc; i++) {
        if (!initiator::is_url(argv[i])) continue;
        char* at = std::strrchr(argv[i], '@');
        char* percent = at ? static_cast<char*>(std::memchr(argv[i], '%', size_t(at - argv[i]))) : nullptr;
        if (percent) std::memset(percent + 1, 'x', size_t(at - percent) - 1);
        char* target = std::strstr(argv[i], "target_password=");
        if (!target) continue;
        target += std::strlen("target_password=");
        std::memset(target, 'x', std::strcspn(target, "&"));
    }
}

}  // namespace iscsi::applets

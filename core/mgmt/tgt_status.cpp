#include "core/mgmt/tgt_status.h"

#include <cstdlib>

namespace iscsi::mgmt {
namespace {

// Takes the next line off `text`.
std::string_view next_line(std::string_view& text) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

std::string_view trim(std::string_view s) {
    while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
    return s;
}

// What follows the label, if the line has it.
bool after(std::string_view line, std::string_view label, std::string& out) {
    line = trim(line);
    if (!line.starts_with(label)) return false;
    out = line.substr(label.size());
    return true;
}

void add_user(std::string_view line, std::vector<std::string>& incoming, std::optional<std::string>& outgoing) {
    const std::string_view user = trim(line);
    if (user.ends_with(" (outgoing)")) outgoing = std::string(user.substr(0, user.size() - 11));
    else incoming.emplace_back(user);
}

}  // namespace

std::vector<RunningTarget> parse_target_show(std::string_view text) {
    std::vector<RunningTarget> targets;
    enum class Part { head, nexus, luns, accounts, rules } part = Part::head;
    std::string value;
    while (!text.empty()) {
        const std::string_view line = next_line(text);
        if (line.starts_with("Target ")) {
            const size_t colon = line.find(": ");
            if (colon == std::string_view::npos) continue;
            RunningTarget t;
            t.tid = int(std::strtol(std::string(line.substr(7, colon - 7)).c_str(), nullptr, 10));
            t.name = line.substr(colon + 2);
            targets.push_back(std::move(t));
            part = Part::head;
            continue;
        }
        if (targets.empty()) continue;
        RunningTarget& t = targets.back();
        if (line == "    I_T nexus information:") part = Part::nexus;
        else if (line == "    LUN information:") part = Part::luns;
        else if (line == "    Account information:") part = Part::accounts;
        else if (line == "    ACL information:") part = Part::rules;
        else if (part == Part::head && after(line, "Driver: ", value)) t.driver = value;
        else if (part == Part::nexus && after(line, "I_T nexus: ", value)) t.sessions.push_back({value, {}, {}, {}});
        else if (part == Part::nexus && after(line, "Connection: ", value) && !t.sessions.empty()) t.sessions.back().cids.push_back(value);
        else if (part == Part::nexus && after(line, "Initiator: ", value) && !t.sessions.empty()) t.sessions.back().initiator = value.substr(0, value.find(' '));
        else if (part == Part::nexus && after(line, "IP Address: ", value) && !t.sessions.empty()) t.sessions.back().addresses.push_back(value);
        else if (part == Part::luns && after(line, "LUN: ", value)) t.luns.push_back(std::strtoull(value.c_str(), nullptr, 10));
        else if (part == Part::luns && after(line, "Backing store path: ", value) && value != "None") t.stores.push_back(value);
        else if (part == Part::rules) t.rules.emplace_back(trim(line));
        else if (part == Part::accounts) {
            add_user(line, t.incoming, t.outgoing);
        }
    }
    return targets;
}

SystemUsers parse_system_users(std::string_view text) {
    SystemUsers users;
    bool inside = false;
    while (!text.empty()) {
        const std::string_view line = next_line(text);
        if (line == "    Account information:") inside = true;
        else if (line == "iSNS:") inside = false;
        else if (inside && line.starts_with("    ")) add_user(line, users.incoming, users.outgoing);
    }
    return users;
}

std::vector<std::string> parse_portal_show(std::string_view text) {
    std::vector<std::string> portals;
    std::string portal;
    while (!text.empty())
        if (after(next_line(text), "Portal: ", portal)) portals.push_back(portal.substr(0, portal.rfind(',')));
    return portals;
}

std::vector<std::string> parse_account_show(std::string_view text) {
    std::vector<std::string> users;
    while (!text.empty()) {
        const std::string_view line = next_line(text);
        if (line.starts_with("    ")) users.emplace_back(line.substr(4));
    }
    return users;
}

}  // namespace iscsi::mgmt

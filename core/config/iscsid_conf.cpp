#include "core/config/iscsid_conf.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "core/base/file.h"
#include "core/base/random.h"

namespace iscsi::config {
namespace {

constexpr size_t max_conf = 256 * 1024;

std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
    return s;
}

// Calls take(line number, line) for every line that is neither blank nor a comment.
template <class Take>
void each_line(std::string_view text, Take take) {
    for (unsigned number = 1; !text.empty(); number++) {
        size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!line.empty() && line.front() != '#') take(number, line);
    }
}

std::string hex(Bytes bytes) {
    std::string out;
    for (uint8_t b : bytes) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", b);
        out += two;
    }
    return out;
}

}  // namespace

IscsidConf parse_iscsid_conf(std::string_view text, std::string_view origin) {
    IscsidConf conf;
    Record node(Kind::node), send_targets(Kind::send_targets), isns(Kind::isns);   // to check values as they come
    each_line(text, [&](unsigned number, std::string_view line) {
        auto complain = [&](std::string why) {
            if (conf.complaints.size() < 100) conf.complaints.push_back({std::string(origin), number, std::move(why)});
        };
        size_t equals = line.find('=');
        if (equals == line.npos) return complain("no '=' in it; skipped");
        std::string key(trim(line.substr(0, equals)));
        std::string_view value = trim(line.substr(equals + 1));
        if (value.empty()) return;
        if (key == "iscsid.startup") conf.startup = value;
        else if (key == "iscsid.safe_logout") conf.safe_logout = value == "Yes";
        else if (key == "iscsid.ipc_auth_uid") conf.ipc_auth_uid = value == "Yes";
        else if (key == "isns.address") conf.isns_address = value;
        else if (key == "isns.port") std::from_chars(value.data(), value.data() + value.size(), conf.isns_port);
        else {
            Record::Set set = Record::Set::unknown_key;
            for (Record* kind : {&node, &send_targets, &isns})
                if (auto taken = kind->set(key, value); taken != Record::Set::unknown_key) set = taken;
            if (set == Record::Set::unknown_key) return complain("unknown key " + key.substr(0, 80) + "; skipped");
            if (set == Record::Set::bad_value) return complain("bad value of " + key + "; skipped");
            conf.defaults.emplace_back(std::move(key), value);
        }
    });
    return conf;
}

IscsidConf read_iscsid_conf(const std::string& path) {
    auto text = read_file(path, max_conf);
    if (text) return parse_iscsid_conf(*text, path);
    IscsidConf conf;
    if (text.error().code != ENOENT) conf.complaints.push_back({path, 0, text.error().text()});
    return conf;
}

Record IscsidConf::new_record(Kind kind) const {
    Record record(kind);
    for (const auto& [key, value] : defaults) (void)record.set(std::string_view(key), value);
    return record;
}

std::optional<InitiatorName> read_initiator_name(const std::string& path) {
    auto text = read_file(path, max_conf);
    if (!text) return std::nullopt;
    InitiatorName found;
    each_line(*text, [&](unsigned, std::string_view line) {
        size_t equals = line.find('=');
        if (equals == line.npos) return;
        std::string_view key = trim(line.substr(0, equals)), value = trim(line.substr(equals + 1));
        if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
            value = value.substr(1, value.size() - 2);       // shell scripts source this file
        if (key == "InitiatorName" && found.name.empty()) found.name = value;
        if (key == "InitiatorAlias" && found.alias.empty()) found.alias = value.substr(0, 255);
    });
    if (!valid_iscsi_name(found.name)) return std::nullopt;
    return found;
}

std::string random_initiator_name(std::string_view prefix) {
    uint8_t bytes[6];
    fill_random(bytes);
    std::string digits = hex(bytes);
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    return std::string(prefix) + ":" + digits;
}

// A name from the machine-id must not give the id away (machine-id(5)): 48 bits of a hash of it. FNV-1a is enough, since
// all that is asked for is that machines differ.
static std::string name_of_machine(std::string_view id) {
    uint64_t hash = 0xcbf29ce484222325;
    for (char c : std::string("iscsi initiator name ") + std::string(id)) hash = (hash ^ uint8_t(c)) * 0x100000001b3;
    hash ^= hash >> 48;
    char name[64];
    std::snprintf(name, sizeof name, "iqn.1993-08.org.debian:01:%012llx", static_cast<unsigned long long>(hash & 0xffffffffffff));
    return name;
}

// Empty if there is none.
static std::string name_by_machine_id(const std::string& path) {
    std::string id = read_attribute(path);
    const bool valid = id.size() == 32 && id.find_first_not_of("0123456789abcdef") == id.npos;
    return valid ? name_of_machine(id) : "";
}

static constexpr std::string_view random_prefix = "iqn.1993-08.org.debian:01";

std::string initiator_name_here(const std::string& path, const std::string& machine_id_path) {
    if (auto found = read_initiator_name(path)) return found->name;
    std::string name = name_by_machine_id(machine_id_path);
    return name.empty() ? random_initiator_name(random_prefix) : name;
}

Result<InitiatorName> ensure_initiator_name(const std::string& path, const std::string& machine_id_path) {
    if (auto found = read_initiator_name(path)) return *found;
    if (exists(path)) {
        auto text = read_file(path, max_conf);
        if (!text) return text.error();
        bool asked = false;                                   // GenerateName=yes, as images are shipped
        each_line(*text, [&](unsigned, std::string_view line) { asked |= line == "GenerateName=yes"; });
        if (!asked) return Error{0, "no valid InitiatorName= in", path};
    }
    InitiatorName made{name_by_machine_id(machine_id_path), ""};
    const bool known = !made.name.empty();
    if (!known) made.name = random_initiator_name(random_prefix);
    std::string text = "# The name of this initiator: unique on the network. Access lists of targets refer to it.\n"
                       "InitiatorName=" + made.name + "\n";
    auto written = replace_file(path, text, 0600);
    if (!written && !known) return written.error();           // a random name that cannot be kept would change every time
    return made;
}

}  // namespace iscsi::config

#include "core/config/records.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "core/base/json.h"

namespace iscsi::config {
namespace {

constexpr Field make_field(const char* key, Type type, const char* fallback, const char* words, int flags) {
    return {key, type, fallback, words, uint8_t(flags)};
}

constexpr auto fields = [] {
    using enum Type;
    using namespace flag;
    return std::to_array<Field>({
#define ROW(id, key, type, fallback, words, flags) make_field(key, type, fallback, words, flags),
        ISCSI_NODE_HEAD_KEYS(ROW) ISCSI_IFACE_KEYS(ROW) ISCSI_NODE_KEYS(ROW)
        ISCSI_DISCOVERY_HEAD_KEYS(ROW) ISCSI_SENDTARGETS_AUTH_KEYS(ROW) ISCSI_SENDTARGETS_KEYS(ROW) ISCSI_ISNS_KEYS(ROW)
#undef ROW
    });
}();
static_assert(fields.size() == size_t(Key::count_));

#define ROW(id, key, type, fallback, words, flags) Key::id,
constexpr Key node_keys[] = {ISCSI_NODE_HEAD_KEYS(ROW) ISCSI_IFACE_KEYS(ROW) ISCSI_NODE_KEYS(ROW)};
constexpr Key iface_keys[] = {ISCSI_IFACE_KEYS(ROW)};
constexpr Key send_targets_keys[] = {ISCSI_DISCOVERY_HEAD_KEYS(ROW) ISCSI_SENDTARGETS_AUTH_KEYS(ROW) Key::chap_algs,
                                     ISCSI_SENDTARGETS_KEYS(ROW)};
constexpr Key isns_keys[] = {ISCSI_DISCOVERY_HEAD_KEYS(ROW) Key::st_address, Key::st_port, ISCSI_ISNS_KEYS(ROW)};
#undef ROW

constexpr size_t max_value = 1023;       // longer than any value open-iscsi keeps
constexpr std::string_view unset = "<empty>";

std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
    return s;
}

bool is_word(const char* words, std::string_view value) {
    for (const char* w = words; *w; w += std::strlen(w) + 1)
        if (value == w) return true;
    return false;
}

std::optional<std::string> canonical_number(std::string_view value) {
    int32_t n = 0;
    if (value.starts_with('+')) value.remove_prefix(1);
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
    return std::to_string(n);
}

// The known algorithms of a list, in its order.
std::string known_algs(std::string_view list) {
    std::string out;
    while (!list.empty()) {
        size_t comma = std::min(list.find(','), list.size());
        std::string_view alg = trim(list.substr(0, comma));
        if (alg == "MD5" || alg == "SHA1" || alg == "SHA256" || alg == "SHA3-256") {
            if (!out.empty()) out += ',';
            out += alg;
        }
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return out;
}

bool printable(std::string_view s) {
    return std::none_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

const Field& field(Key key) { return fields[size_t(key)]; }

std::optional<Key> find_key(std::string_view name) {
    for (size_t i = 0; i < fields.size(); i++)
        if (name == fields[i].key) return Key(i);
    return std::nullopt;
}

std::span<const Key> keys_of(Kind kind) {
    switch (kind) {
        case Kind::node: return node_keys;
        case Kind::iface: return iface_keys;
        case Kind::send_targets: return send_targets_keys;
        case Kind::isns: return isns_keys;
    }
    return {};
}

std::string Complaint::message() const {
    return line ? file + " line " + std::to_string(line) + ": " + text : file + ": " + text;
}

Record::Record(Kind kind) : kind_(kind) {
    auto keys = keys_of(kind);
    values_.reserve(keys.size());
    for (Key key : keys) values_.emplace_back(field(key).fallback);
    if (kind == Kind::isns) {
        values_[place(Key::disc_type)] = "isns";
        values_[place(Key::st_port)] = "3205";
    }
}

Record::~Record() {
    if (values_.empty()) return;          // moved from
    auto keys = keys_of(kind_);
    for (size_t i = 0; i < keys.size(); i++)
        if (field(keys[i]).flags & flag::secret) ::explicit_bzero(values_[i].data(), values_[i].size());
}

size_t Record::place(Key key) const {
    auto keys = keys_of(kind_);
    return size_t(std::find(keys.begin(), keys.end(), key) - keys.begin());
}

bool Record::has(Key key) const { return place(key) < values_.size(); }

const std::string& Record::text(Key key) const {
    static const std::string none;
    size_t at = place(key);
    return at < values_.size() ? values_[at] : none;
}

int32_t Record::number(Key key) const {
    const std::string& value = text(key);
    int32_t n = 0;
    std::from_chars(value.data(), value.data() + value.size(), n);
    return n;
}

Record::Set Record::set(Key key, std::string_view value) {
    size_t at = place(key);
    if (at >= values_.size()) return Set::unknown_key;
    const Field& row = field(key);
    std::string canonical;
    switch (row.type) {
        case Type::text:
            if (value.size() > max_value || !printable(value)) return Set::bad_value;
            if (value != unset) canonical = value;
            break;
        case Type::number:
            if (auto n = canonical_number(trim(value))) canonical = *n;
            else return Set::bad_value;
            break;
        case Type::word:
            if (!is_word(row.words, value)) return Set::bad_value;
            canonical = value;
            break;
        case Type::algs:
            canonical = known_algs(value);
            if (canonical.empty()) return Set::bad_value;
            break;
    }
    if (row.flags & flag::secret) ::explicit_bzero(values_[at].data(), values_[at].size());
    values_[at] = std::move(canonical);
    return Set::ok;
}

Record::Set Record::set(std::string_view key, std::string_view value) {
    auto found = find_key(key);
    return found ? set(*found, value) : Set::unknown_key;
}

Record::Set Record::set(Key key, int64_t value) { return set(key, std::string_view(std::to_string(value))); }

std::string Record::to_file() const {
    std::string out = "# BEGIN RECORD " + std::string(record_version) + "\n";
    auto keys = keys_of(kind_);
    for (size_t i = 0; i < keys.size(); i++)
        if (!values_[i].empty()) ((out += field(keys[i]).key) += " = ") += values_[i] + "\n";
    return out + "# END RECORD\n";
}

std::string Record::to_screen(bool show_secrets) const {
    std::string out = "# BEGIN RECORD " + std::string(record_version) + "\n";
    auto keys = keys_of(kind_);
    for (size_t i = 0; i < keys.size(); i++) {
        (out += field(keys[i]).key) += " = ";
        if (values_[i].empty()) out += unset;
        else if ((field(keys[i]).flags & flag::secret) && !show_secrets) out += "********";
        else out += values_[i];
        out += '\n';
    }
    return out + "# END RECORD\n";
}

std::string Record::to_json(bool show_secrets) const {
    std::string out = "{";
    auto keys = keys_of(kind_);
    for (size_t i = 0; i < keys.size(); i++) {
        const Field& row = field(keys[i]);
        out += (i ? ", \"" : "\"") + std::string(row.key) + "\": ";
        if (values_[i].empty()) out += "null";
        else if (row.type == Type::number) out += values_[i];
        else if ((row.flags & flag::secret) && !show_secrets) out += "\"********\"";
        else out += json_string(values_[i]);
    }
    return out + "}";
}

void Record::read(std::string_view text, std::string_view origin, std::vector<Complaint>& complaints) {
    unsigned line_number = 0;
    while (!text.empty()) {
        size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        line_number++;
        if (line.empty() || line.front() == '#') continue;
        auto complain = [&](std::string why) {
            if (complaints.size() < 100) complaints.push_back({std::string(origin), line_number, std::move(why)});
        };
        size_t equals = line.find('=');
        if (equals == line.npos) {
            complain("no '=' in it; skipped");
            continue;
        }
        std::string key(trim(line.substr(0, std::min(equals, max_value))));
        std::string_view value = trim(line.substr(equals + 1));
        if (value.empty()) continue;      // nothing said: the default stays
        switch (set(key, value)) {
            case Set::ok: break;
            case Set::unknown_key: complain("unknown key " + key + "; skipped"); break;
            case Set::bad_value: complain("bad value of " + key + "; skipped"); break;   // it may be a secret: not shown
        }
    }
}

namespace {
bool name_characters(std::string_view name) {
    return std::all_of(name.begin(), name.end(), [](char ch) {
        auto c = static_cast<unsigned char>(ch);
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '.' || c == ':' ||
               c == '_' || c >= 0x80;
    });
}
}  // namespace

bool safe_name(std::string_view name) {
    return !name.empty() && name.size() <= 223 && name != "." && name != ".." && name_characters(name);
}

bool valid_iscsi_name(std::string_view name) {
    if (!safe_name(name) || name.size() < 5) return false;
    for (const char* type : {"iqn.", "eui.", "naa."})
        if (::strncasecmp(name.data(), type, 4) == 0) return true;
    return false;
}

}  // namespace iscsi::config

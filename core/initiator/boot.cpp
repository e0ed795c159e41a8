#include "core/initiator/boot.h"

#include <algorithm>
#include <charconv>

namespace iscsi::initiator {
namespace {

template <class T>
bool parse_number(std::string_view text, T& out, int base = 10) {
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out, base);
    return ec == std::errc() && end == text.data() + text.size() && !text.empty();
}

Error bad(const char* what, std::string_view value) { return Error{0, what, "'" + std::string(value) + "'"}; }

// Cuts the text up to the separator off its front; the separator goes too. A bracketed IPv6 address is one piece.
std::string_view piece(std::string_view& text, char separator = ':') {
    size_t from = 0;
    if (text.starts_with('[')) from = std::min(text.find(']'), text.size());
    size_t end = std::min(text.find(separator, from), text.size());
    std::string_view out = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return out;
}

bool blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

std::string unbracket(std::string_view host) {
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return std::string(host);
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> out;
    for (bool more = true; more && out.size() < 32;) {
        more = text.find(':', text.starts_with('[') ? std::min(text.find(']'), text.size()) : 0) != text.npos;
        out.push_back(piece(text));
    }
    return out;
}

}  // namespace

std::optional<uint64_t> parse_boot_lun(std::string_view text) {
    uint64_t n = 0;
    if (text.find('-') == text.npos) {
        bool hex = text.starts_with("0x") || text.starts_with("0X");
        if (hex) text.remove_prefix(2);
        if (!parse_number(text, n, hex ? 16 : 10)) return std::nullopt;
        return n;
    }
    // Four groups of up to four hex digits, SAM's eight bytes; the first level says it all (peripheral or flat address).
    std::string_view rest = text;
    for (int group = 0; !rest.empty(); group++) {
        std::string_view digits = piece(rest, '-');
        uint16_t value = 0;
        if (group > 3 || digits.size() > 4 || !parse_number(digits, value, 16)) return std::nullopt;
        if (group == 0) n = value & 0x3fff;
        else if (value != 0) return std::nullopt;       // a second level
    }
    return n;
}

Result<void> parse_root_path(std::string_view text, BootRequest& out) {
    const std::string_view whole = text;
    if (text.starts_with("iscsi:")) text.remove_prefix(6);
    // The target's name is the last field and has colons of its own: find where it starts.
    size_t name = text.npos;
    for (std::string_view form : {":iqn.", ":eui.", ":naa."}) name = std::min(name, text.find(form));
    if (name == text.npos) return bad("no target name (iqn., eui., naa.) in root path", whole);
    out.target_name = text.substr(name + 1);
    text = text.substr(0, name);
    if (size_t at = text.find('@'); at != text.npos) {
        std::string_view credentials = text.substr(0, at);
        text.remove_prefix(at + 1);
        if (!credentials.empty()) {
            auto parts = split(credentials);
            if (parts.size() != 2 && parts.size() != 4) return Error{0, "credentials of a root path are user:password or user:password:user:password", ""};
            out.user = parts[0];
            out.password = Secret(parts[1]);
            if (parts.size() == 4) {
                out.user_in = parts[2];
                out.password_in = Secret(parts[3]);
            }
        }
    }
    auto fields = split(text);          // server protocol port [iface [netdev]] lun
    if (fields.size() < 1 || fields.size() > 6) return bad("not server:protocol:port:LUN:target:", whole);
    if (!fields[0].empty()) out.address = unbracket(fields[0]);
    if (out.address.empty()) return bad("no server in root path", whole);
    if (fields.size() > 1 && !fields[1].empty() && fields[1] != "6" && fields[1] != "tcp")
        return bad("unsupported protocol (TCP is 6) in root path", whole);
    if (fields.size() > 2 && !fields[2].empty() && (!parse_number(fields[2], out.port) || out.port == 0))
        return bad("bad port in root path", whole);
    if (fields.size() > 4) out.iface_name = fields[3];
    if (fields.size() > 5) out.net_device = fields[4];
    if (fields.size() > 3 && !fields.back().empty()) {
        out.lun = parse_boot_lun(fields.back());
        if (!out.lun) return bad("bad LUN in root path", whole);
    }
    return {};
}

Result<void> parse_ip(std::string_view text, BootRequest& out) {
    auto automatic = [](std::string_view v) { return v == "dhcp" || v == "on" || v == "any" || v == "both" || v == "auto"; };
    auto fields = split(text);
    NetworkPlan plan;
    if (fields.size() == 1) {
        if (text == "off" || text == "none") {
            out.network_off = true;
            return {};
        }
        if (automatic(text) || text.empty()) plan.dhcp = true;
        else plan.address = unbracket(text);
    } else if (fields.size() == 2) {            // dracut: device:how
        if (!automatic(fields[1])) return bad("ip= of two fields is device:dhcp, not", text);
        plan.device = fields[0];
        plan.dhcp = true;
    } else {                                    // client:server:gateway:mask:host:device:autoconf
        auto field = [&](size_t i) { return i < fields.size() ? fields[i] : std::string_view(); };
        plan.address = unbracket(field(0));
        plan.gateway = unbracket(field(2));
        std::string_view mask = field(3);
        if (mask.find('.') != mask.npos) plan.netmask = mask;
        else if (!mask.empty() && (!parse_number(mask, plan.prefix) || plan.prefix > 128)) return bad("bad netmask in ip=", text);
        plan.device = field(5);
        std::string_view how = field(6);
        plan.dhcp = plan.address.empty() && (automatic(how) || how.empty());
        if (plan.address.empty() && !plan.dhcp) {
            out.network_off = true;
            return {};
        }
        if (!plan.address.empty() && automatic(how) && how != "any" && how != "both" && how != "on") plan.dhcp = true;
    }
    out.networks.push_back(std::move(plan));
    return {};
}

namespace {

// A word of ours on the command line; false if it is somebody else's.
Result<bool> take_word(std::string_view key, std::string_view value, BootRequest& b) {
    if (key.starts_with("rd.iscsi.")) key.remove_prefix(9);
    else if (key.starts_with("iscsi_")) key.remove_prefix(6);
    else if (key == "root" || key == "netroot") {
        if (value.starts_with("iscsi:")) TRY_VOID(parse_root_path(value, b));
        if (value == "dhcp" || (key == "netroot" && value == "iscsi")) b.root_from_dhcp = true;
        return true;
    } else if (key == "ip") {
        TRY_VOID(parse_ip(value, b));
        return true;
    } else {
        return false;
    }
    struct Word { std::string_view a, b; std::string BootRequest::* place; };
    static constexpr Word words[] = {
        {"initiator", "initiator", &BootRequest::initiator_name},
        {"target_name", "target.name", &BootRequest::target_name},
        {"target_ip", "target.ip", &BootRequest::address},
        {"username", "username", &BootRequest::user},
        {"in_username", "in.username", &BootRequest::user_in},
    };
    for (const Word& w : words)
        if (key == w.a || key == w.b) {
            b.*w.place = key.starts_with("target") && key.ends_with("ip") ? unbracket(value) : std::string(value);
            return true;
        }
    if (key == "password") b.password = Secret(value);
    else if (key == "in_password" || key == "in.password") b.password_in = Secret(value);
    else if (key == "target_port" || key == "target.port") {
        if (!parse_number(value, b.port) || b.port == 0) return bad("bad iSCSI target port", value);
    } else if (key == "target_group" || key == "target.group") {
        if (!parse_number(value, b.tpgt)) return bad("bad iSCSI portal group", value);
    } else if (key == "lun" || key == "target_lun") {
        b.lun = parse_boot_lun(value);
        if (!b.lun) return bad("bad iSCSI LUN", value);
    } else if (key == "param") {
        std::string_view rest = value, name = piece(rest, '=');
        b.params.emplace_back(name, rest);
    } else if (key == "auto" || key == "firmware" || key == "ibft") {
        b.firmware = value != "0" && value != "no";
    } else {
        return false;
    }
    return true;
}

}  // namespace

Result<BootRequest> parse_cmdline(std::string_view cmdline) {
    BootRequest b;
    while (!cmdline.empty()) {
        size_t start = cmdline.find_first_not_of(" \t\n");
        if (start == cmdline.npos) break;
        cmdline.remove_prefix(start);
        size_t end = 0;                         // a quoted value may have blanks
        for (bool quoted = false; end < cmdline.size() && (quoted || !blank(cmdline[end])); end++)
            if (cmdline[end] == '"') quoted = !quoted;
        std::string word(cmdline.substr(0, end));
        cmdline.remove_prefix(end);
        std::erase(word, '"');
        std::string_view value = word, key = piece(value, '=');
        (void)TRY(take_word(key, value, b));
    }
    if (b.target_name.empty() && !b.firmware && !b.root_from_dhcp)
        return Error{0, "the kernel command line names no iSCSI target (root=iscsi:…, netroot=iscsi:…, iscsi_target_name=…)", ""};
    if (!b.target_name.empty() && b.address.empty())
        return Error{0, "no address of target " + b.target_name + " (iscsi_target_ip=)", ""};
    return b;
}

}  // namespace iscsi::initiator

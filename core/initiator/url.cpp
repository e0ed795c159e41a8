#include "core/initiator/url.h"

#include <strings.h>

#include <charconv>
#include <cstdlib>

#include "core/io/address.h"
#include "core/wire/text_keys.h"

namespace iscsi::initiator {
namespace {

constexpr std::string_view scheme = "iscsi://";

Error bad(std::string_view what, std::string_view value) {
    return Error{0, "'" + std::string(value.substr(0, 256)) + "':", std::string(what) + " (iscsi://[user[%password]@]host[:port]/target/lun)"};
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// RFC 3986 percent-encoding; a '%' that starts none stays.
std::string percent_decode(std::string_view s) {
    std::string out;
    for (size_t i = 0; i < s.size(); i++) {
        if (s[i] == '%' && i + 2 < s.size() && hex_digit(s[i + 1]) >= 0 && hex_digit(s[i + 2]) >= 0) {
            out += char(hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]));
            i += 2;
        } else {
            out += s[i];
        }
    }
    return out;
}

bool parse_digest(std::string_view value, nego::Digests& out) {
    struct Row { std::string_view name; nego::Digests digests; };
    for (const Row& r : {Row{"none", nego::Digests::none}, {"crc32c", nego::Digests::crc32c}, {"crc32c-none", nego::Digests::crc32c_none},
                         {"none-crc32c", nego::Digests::none_crc32c}}) {
        if (value.size() != r.name.size() || ::strncasecmp(value.data(), r.name.data(), value.size()) != 0) continue;
        out = r.digests;
        return true;
    }
    return false;
}

// False: not a key or value we know.
bool take_argument(Url& url, std::string_view key, std::string_view value) {
    if (key == "target_user") url.target_user = percent_decode(value);
    else if (key == "target_password") url.target_password = Secret(percent_decode(value));
    else if (key == "header_digest") return parse_digest(value, url.header_digest);
    else if (key == "data_digest") return parse_digest(value, url.data_digest);
    else if (key == "initiator") return wire::valid_iscsi_name(url.initiator_name = percent_decode(value));
    else return false;
    return true;
}

Result<void> take_query(Url& url, std::string_view query) {
    while (!query.empty()) {
        size_t end = query.find('&');
        std::string_view argument = query.substr(0, end);
        query = end == query.npos ? std::string_view() : query.substr(end + 1);
        size_t equals = argument.find('=');
        std::string_view key = argument.substr(0, equals);
        if (equals == argument.npos || !take_argument(url, key, argument.substr(equals + 1)))
            return bad("bad argument in URL", key);
    }
    return {};
}

void take_environment(Url& url, const char* (*environment)(const char*)) {
    auto get = [&](const char* name) {
        const char* value = environment ? environment(name) : std::getenv(name);
        return std::string_view(value ? value : "");
    };
    if (url.user.empty()) url.user = get("LIBISCSI_CHAP_USERNAME");
    if (url.password.empty()) url.password = Secret(get("LIBISCSI_CHAP_PASSWORD"));
    if (url.target_user.empty()) url.target_user = get("LIBISCSI_CHAP_TARGET_USERNAME");
    if (url.target_password.empty()) url.target_password = Secret(get("LIBISCSI_CHAP_TARGET_PASSWORD"));
}

}  // namespace

bool is_url(std::string_view text) { return text.substr(0, scheme.size()) == scheme; }

Result<Url> parse_url(std::string_view text, const char* (*environment)(const char*)) {
    Url url;
    if (!is_url(text)) return bad("not an iSCSI URL", text);
    std::string_view rest = text.substr(scheme.size()), query;
    if (size_t at = rest.rfind('@'); at != rest.npos && at < rest.find('?')) {
        std::string_view account = rest.substr(0, at);
        rest.remove_prefix(at + 1);
        size_t percent = account.find('%');
        url.user = account.substr(0, percent);
        if (percent != account.npos) url.password = Secret(account.substr(percent + 1));
        if (url.user.empty()) return bad("URL without a user before '@'", rest);
    }
    if (size_t mark = rest.find('?'); mark != rest.npos) {
        query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    size_t slash = rest.find('/');
    auto place = io::split_host_port(rest.substr(0, slash), 3260);
    if (!place) return bad("no host in URL", rest.substr(0, slash));
    url.host = place->host;
    url.port = place->port;
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);

    slash = rest.find('/');
    url.target_name = percent_decode(rest.substr(0, slash));
    if (!url.target_name.empty() && !wire::usable_iscsi_name(url.target_name)) return bad("no iSCSI name in URL", url.target_name);
    std::string_view lun = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
    if (!lun.empty() && lun.back() == '/') lun.remove_suffix(1);
    if (!lun.empty()) {
        uint16_t n = 0;
        auto [end, error] = std::from_chars(lun.data(), lun.data() + lun.size(), n);
        if (error != std::errc() || end != lun.data() + lun.size() || n > 16383) return bad("no LUN (0..16383) in URL", lun);
        url.lun = n;
    }
    TRY_VOID(take_query(url, query));
    take_environment(url, environment);
    if (url.user.empty() != url.password.empty())
        return bad(url.user.empty() ? "a CHAP password without a user" : "a CHAP user without a password; set LIBISCSI_CHAP_PASSWORD", url.text());
    if (!url.target_password.empty() && url.user.empty()) return bad("mutual CHAP needs a user and password, too", url.text());
    return url;
}

std::string Url::text() const {
    std::string h = host.find(':') == host.npos ? host : "[" + host + "]";
    std::string s = std::string(scheme) + h + ":" + std::to_string(port);
    if (!target_name.empty()) s += "/" + target_name;
    if (lun) s += "/" + std::to_string(*lun);
    return s;
}

uint64_t lun_field(uint16_t lun) {
    // Peripheral addressing below 256, flat space above.
    return uint64_t(lun < 256 ? lun : (0x4000 | lun)) << 48;
}

uint16_t lun_number(uint64_t field) {
    const uint16_t first = uint16_t(field >> 48);
    if (field << 16) return 0xffff;                 // more levels
    if (first >> 14 == 1) return first & 0x3fff;
    return first < 256 ? first : 0xffff;            // bus 0 of the peripheral method
}

}  // namespace iscsi::initiator

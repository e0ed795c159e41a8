#include "core/mgmt/tgt_protocol.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace iscsi::mgmt {
namespace {

constexpr uint32_t wish_json = 1, wish_config = 2;

// The header as it lies on the socket, host order, naturally aligned.
struct RequestHeader {
    uint32_t mode, op;
    char lld[64];
    uint32_t length;
    int32_t tid;
    uint64_t sid, lun;
    uint32_t cid, host, device, outgoing, wishes, force;
};
static_assert(sizeof(RequestHeader) == tgt_request_header);
static_assert(offsetof(RequestHeader, length) == 72 && offsetof(RequestHeader, sid) == 80 &&
              offsetof(RequestHeader, device) == 104 && offsetof(RequestHeader, force) == 116);

struct AnswerHeader {
    uint32_t code, length;
};
static_assert(sizeof(AnswerHeader) == tgt_answer_header);

constexpr const char* texts[] = {
    "success", "unknown error", "out of memory", "can't find the driver", "can't find the target",
    "can't find the logical unit", "can't find the session", "can't find the connection", "can't find the binding",
    "this target already exists", "this logical unit number already exists", "this binding already exists",
    "this access control rule already exists", "this access control rule does not exist", "this account already exists",
    "can't find the account", "too many accounts", "invalid request", "this target already has an outgoing account",
    "this target is still active", "this logical unit is still active", "this driver is busy",
    "this operation isn't supported", "unknown parameter", "this device has Prevent Removal set",
};

// Keys in the order in which a request holds them.
struct Key {
    const char* name;
    std::optional<std::string> TgtText::*field;
};
constexpr Key keys[] = {
    {"path=", &TgtText::path}, {"bstype=", &TgtText::bstype}, {"bsopts=", &TgtText::bsopts},
    {"bsoflags=", &TgtText::bsoflags}, {"blocksize=", &TgtText::blocksize}, {"targetname=", &TgtText::targetname},
    {"initiator-address=", &TgtText::initiator_address}, {"initiator-name=", &TgtText::initiator_name},
    {"user=", &TgtText::user}, {"password=", &TgtText::password},
    {"targetOps ", &TgtText::params}, {"portalOps ", &TgtText::params},
};

// Where `key` starts in `text` at or after `from`, as the first thing or after a comma.
size_t find_key(std::string_view text, std::string_view key, size_t from) {
    if (from == 0 && text.starts_with(key)) return 0;
    for (size_t at = from; (at = text.find(',', at)) != std::string_view::npos; at++)
        if (text.substr(at + 1).starts_with(key)) return at + 1;
    return std::string_view::npos;
}

void decode_keys(std::string_view text, TgtText& out) {
    // These hold all the rest, whatever it looks like.
    const Key* tail = nullptr;
    size_t tail_at = std::string_view::npos;
    for (const Key& k : keys) {
        if (k.field != &TgtText::params && k.field != &TgtText::password) continue;
        if (size_t at = find_key(text, k.name, 0); at < tail_at) tail = &k, tail_at = at;
    }
    if (tail) {
        out.*(tail->field) = std::string(text.substr(tail_at + std::strlen(tail->name)));
        text = text.substr(0, tail_at ? tail_at - 1 : 0);
    }
    const Key* last = nullptr;
    size_t value_at = 0;
    for (const Key& k : keys) {
        size_t at = find_key(text, k.name, value_at);
        if (at == std::string_view::npos) continue;
        if (last) out.*(last->field) = std::string(text.substr(value_at, at - 1 - value_at));
        last = &k;
        value_at = at + std::strlen(k.name);
    }
    if (last) out.*(last->field) = std::string(text.substr(value_at));
    if (out.params && out.params->ends_with(',')) out.params->pop_back();
}

}  // namespace

const char* tgt_code_text(TgtCode code) {
    return size_t(code) < std::size(texts) ? texts[size_t(code)] : texts[size_t(TgtCode::unknown)];
}

std::string encode_tgt_text(const TgtText& text, bool portal_mode) {
    std::string out;
    auto part = [&](const std::string& s) {
        if (!out.empty()) out += ',';
        out += s;
    };
    if (text.name && text.value) part(*text.name + "=" + *text.value);
    for (const Key& k : keys)
        if (k.field != &TgtText::params && text.*(k.field)) part(k.name + *(text.*(k.field)));
    if (text.params) part((portal_mode ? "portalOps " : "targetOps ") + *text.params + ",");
    return out;
}

TgtText decode_tgt_text(const TgtRequest& request) {
    TgtText out;
    bool setting = request.op == TgtOp::update && (request.mode == TgtMode::system || request.mode == TgtMode::target);
    if (setting) {
        size_t equals = request.text.find('=');
        if (equals == std::string::npos) return out;
        out.name = request.text.substr(0, equals);
        out.value = request.text.substr(equals + 1);
        return out;
    }
    decode_keys(request.text, out);
    return out;
}

std::string encode(const TgtRequest& r) {
    RequestHeader h{};
    h.mode = uint32_t(r.mode);
    h.op = uint32_t(r.op);
    std::memcpy(h.lld, r.lld.data(), std::min(r.lld.size(), sizeof h.lld - 1));
    size_t text = r.text.empty() ? 0 : r.text.size() + 1;
    h.length = uint32_t(sizeof h + text);
    h.tid = r.tid;
    h.sid = r.sid;
    h.lun = r.lun;
    h.cid = r.cid;
    h.host = r.host;
    h.device = uint32_t(r.device);
    h.outgoing = r.outgoing;
    h.wishes = (r.json ? wish_json : 0) | (r.config ? wish_config : 0);
    h.force = r.force;
    std::string out(reinterpret_cast<const char*>(&h), sizeof h);
    out.append(r.text.c_str(), text);
    return out;
}

std::string encode(const TgtAnswer& a) {
    size_t text = a.text.empty() ? 0 : a.text.size() + 1;
    AnswerHeader h{uint32_t(a.code), uint32_t(sizeof(AnswerHeader) + text)};
    std::string out(reinterpret_cast<const char*>(&h), sizeof h);
    out.append(a.text.c_str(), text);
    return out;
}

std::optional<size_t> tgt_request_length(Bytes header) {
    RequestHeader h;
    if (header.size() < sizeof h) return std::nullopt;
    std::memcpy(&h, header.data(), sizeof h);
    if (h.length < sizeof h || h.length - sizeof h > tgt_max_text) return std::nullopt;
    return h.length;
}

std::optional<TgtRequest> decode_tgt_request(Bytes message) {
    auto length = tgt_request_length(message);
    if (!length || message.size() != *length) return std::nullopt;
    RequestHeader h;
    std::memcpy(&h, message.data(), sizeof h);
    if (h.mode > uint32_t(TgtMode::account) || h.op > uint32_t(TgtOp::stop)) return std::nullopt;
    TgtRequest r;
    r.mode = TgtMode(h.mode);
    r.op = TgtOp(h.op);
    r.lld.assign(h.lld, ::strnlen(h.lld, sizeof h.lld));
    r.tid = h.tid;
    r.sid = h.sid;
    r.lun = h.lun;
    r.cid = h.cid;
    r.host = h.host;
    r.device = TgtDevice(h.device);
    r.outgoing = h.outgoing != 0;
    r.force = h.force != 0;
    r.json = h.wishes & wish_json;
    r.config = h.wishes & wish_config;
    std::string_view text = as_text(message.subspan(sizeof h));
    r.text = text.substr(0, text.find('\0'));
    return r;
}

std::optional<size_t> tgt_answer_length(Bytes header) {
    AnswerHeader h;
    if (header.size() < sizeof h) return std::nullopt;
    std::memcpy(&h, header.data(), sizeof h);
    if (h.length < sizeof h || h.length > tgt_max_answer) return std::nullopt;
    return h.length;
}

std::optional<TgtAnswer> decode_tgt_answer(Bytes message) {
    auto length = tgt_answer_length(message);
    if (!length || message.size() != *length) return std::nullopt;
    AnswerHeader h;
    std::memcpy(&h, message.data(), sizeof h);
    TgtAnswer a;
    a.code = TgtCode(h.code);
    a.text = as_text(message.subspan(sizeof h));
    if (a.text.ends_with('\0')) a.text.pop_back();
    return a;
}

std::string tgt_socket_path(int control_port) {
    const char* base = ::getenv("TGT_IPC_SOCKET");
    return std::string(base ? base : tgt_socket_default) + "." + std::to_string(control_port);
}

}  // namespace iscsi::mgmt

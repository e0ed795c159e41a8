#include "core/mgmt/iscsid_protocol.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/base/file.h"

namespace iscsi::mgmt {
namespace {

constexpr char magic[4] = {'i', 'S', 'C', 'd'};
constexpr auto hello_limit = std::chrono::seconds(5);

void put_number(std::string& out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) out += char(uint8_t(value >> (8 * i)));
}
uint32_t get_number(const uint8_t* p, size_t bytes) {
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= uint32_t(p[i]) << (8 * i);
    return v;
}

std::optional<uint32_t> parse_number(std::string_view text) {
    uint32_t v = 0;
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (ec != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return v;
}

Error failure(InitiatorError code, std::string text) { return Error{int(code), std::move(text), ""}; }

// Fields of a payload; false if a length runs past the end.
bool parse_fields(Bytes in, IscsidMessage& out) {
    while (!in.empty()) {
        if (in.size() < 6) return false;
        size_t key = get_number(in.data(), 2), value = get_number(in.data() + 2, 4);
        in = in.subspan(6);
        if (key > in.size() || value > in.size() - key) return false;
        out.fields.emplace_back(as_text(in.first(key)), as_text(in.subspan(key, value)));
        in = in.subspan(key + value);
    }
    return true;
}

}  // namespace

std::optional<std::string_view> IscsidMessage::get(std::string_view key) const {
    for (const auto& [k, v] : fields)
        if (k == key) return v;
    return std::nullopt;
}
std::optional<uint32_t> IscsidMessage::number(std::string_view key) const {
    auto v = get(key);
    return v ? parse_number(*v) : std::nullopt;
}
std::vector<std::string_view> IscsidMessage::all(std::string_view key) const {
    std::vector<std::string_view> out;
    for (const auto& [k, v] : fields)
        if (k == key) out.push_back(v);
    return out;
}
InitiatorError IscsidMessage::error() const {
    auto n = number("error");
    return n && *n < uint32_t(initiator::initiator_error_count) ? InitiatorError(*n) : InitiatorError::daemon_comm;
}

std::string encode(const IscsidMessage& message) {
    size_t length = 0;
    for (const auto& [k, v] : message.fields) length += 6 + std::min<size_t>(k.size(), 0xffff) + v.size();
    std::string out(magic, sizeof magic);
    put_number(out, message.version, 2);
    put_number(out, message.kind, 2);
    put_number(out, message.tag, 4);
    put_number(out, length, 4);
    for (const auto& [k, v] : message.fields) {
        put_number(out, std::min<size_t>(k.size(), 0xffff), 2);
        put_number(out, v.size(), 4);
        out.append(k, 0, 0xffff);
        out += v;
    }
    return out;
}

std::string encode_hello(uint32_t tag) {
    IscsidMessage m = request(IscsidRequest::hello);
    m.tag = tag;
    m.add("version", ISCSI_VERSION);
    size_t plain = encode(m).size() + 6 + 3;
    m.add("pad", std::string(open_iscsi_request_length - plain, '\0'));
    return encode(m);
}

Result<std::optional<IscsidDecoded>> decode_iscsid(Bytes in) {
    size_t seen = std::min(in.size(), sizeof magic);
    if (std::memcmp(in.data(), magic, seen) != 0) return Error{EPROTO, "not an iscsid message", ""};
    if (in.size() < iscsid_header_length) return std::optional<IscsidDecoded>();
    IscsidDecoded out{};
    out.message.version = uint16_t(get_number(in.data() + 4, 2));
    out.message.kind = uint16_t(get_number(in.data() + 6, 2));
    out.message.tag = get_number(in.data() + 8, 4);
    size_t length = get_number(in.data() + 12, 4);
    if (length > iscsid_max_payload) return Error{EMSGSIZE, "iscsid message too long", ""};
    if (in.size() - iscsid_header_length < length) return std::optional<IscsidDecoded>();
    if (!parse_fields(in.subspan(iscsid_header_length, length), out.message))
        return Error{EPROTO, "iscsid message with a broken field", ""};
    out.used = iscsid_header_length + length;
    return std::optional<IscsidDecoded>(std::move(out));
}

std::optional<IscsidSessionState> parse_session_state(std::string_view text) {
    size_t blank = text.find(' '), bar = text.find('|');
    if (blank == text.npos || bar == text.npos || bar < blank) return std::nullopt;
    auto sid = parse_number(text.substr(0, blank));
    if (!sid) return std::nullopt;
    return IscsidSessionState{*sid, std::string(text.substr(blank + 1, bar - blank - 1)), std::string(text.substr(bar + 1))};
}

Result<IscsidClient> IscsidClient::connect(int* why_not, std::string_view socket_name) {
    auto refuse = [&](int number) {
        if (why_not) *why_not = number;
        return failure(InitiatorError::daemon_not_connected,
                       "can not connect to iSCSI daemon (" + std::to_string(number) + ")!");
    };
    if (why_not) *why_not = 0;
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return refuse(errno);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    size_t length = std::min(socket_name.size(), sizeof address.sun_path - 1);
    std::memcpy(address.sun_path + 1, socket_name.data(), length);
    auto size = socklen_t(offsetof(sockaddr_un, sun_path) + 1 + length);
    // A full backlog of a stopped daemon would block for ever.
    timeval limit{5, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return refuse(errno);

    IscsidClient client(std::move(fd));
    auto deadline = Clock::now() + hello_limit;
    uint32_t tag = client.next_tag_++;
    TRY_VOID(client.send_all(encode_hello(tag), deadline));
    auto reply = client.receive(deadline);
    if (!reply) return reply.error().code == int(InitiatorError::daemon_comm) ? client.stranger() : reply.error();
    if (reply->version != iscsid_protocol_version)
        return failure(InitiatorError::daemon_comm,
                       "the running iscsid is of another version (" + std::string(reply->get("version").value_or("unknown")) +
                           ", this is " ISCSI_VERSION "). Restart iscsid.");
    if (reply->error() != InitiatorError::none)
        return failure(reply->error(), std::string(reply->get("message").value_or("iscsid refused the connection")));
    client.daemon_version_ = reply->get("version").value_or("");
    client.daemon_pid_ = int(reply->number("pid").value_or(0));
    return client;
}

// open-iscsi's daemon takes our hello for a request it does not know and closes the connection. Who made the socket may have
// become another process since; the PID file knows.
Error IscsidClient::stranger() const {
    ucred peer{};
    socklen_t length = sizeof peer;
    (void)::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length);
    std::string who;
    auto file = read_file("/run/iscsid.pid", 64);
    for (int pid : {int(peer.pid), file ? std::atoi(file->c_str()) : 0}) {
        char path[256];
        const std::string process = std::to_string(pid);
        ssize_t n = pid > 0 && who.empty() ? ::readlink(("/proc/" + process + "/exe").c_str(), path, sizeof path) : 0;
        if (n > 0) who = ": pid " + process + ", " + std::string(path, size_t(n));
    }
    return failure(InitiatorError::daemon_comm,
                   "the running iscsid is not this program's" + who + " (open-iscsi's?). Stop it and start this one.");
}

Result<void> IscsidClient::send_all(std::string_view bytes, Clock::time_point deadline) {
    while (!bytes.empty()) {
        ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            bytes.remove_prefix(size_t(n));
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN)
            return failure(InitiatorError::daemon_comm, "lost the connection to iscsid. See its log.");
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd p{fd_.get(), POLLOUT, 0};
        if (left <= 0 || ::poll(&p, 1, int(std::min<int64_t>(left, 60000))) == 0)
            return failure(InitiatorError::request_timed_out, "iscsid does not read its requests. Restart iscsid.");
    }
    return {};
}

Result<uint32_t> IscsidClient::send(IscsidMessage message) {
    message.tag = next_tag_++;
    TRY_VOID(send_all(encode(message), Clock::now() + hello_limit));
    return message.tag;
}

Result<IscsidMessage> IscsidClient::receive(Clock::time_point deadline) {
    if (!early_.empty()) {
        IscsidMessage m = std::move(early_.front());
        early_.erase(early_.begin());
        return m;
    }
    for (;;) {
        auto decoded = decode_iscsid(as_bytes(in_));
        if (!decoded)
            return stranger();
        if (*decoded) {
            in_.erase(0, (*decoded)->used);
            if (!(*decoded)->message.reply()) continue;
            return std::move((*decoded)->message);
        }
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd p{fd_.get(), POLLIN, 0};
        int ready = left > 0 ? ::poll(&p, 1, int(std::min<int64_t>(left, 60000))) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) {
            if (Clock::now() < deadline) continue;
            return failure(InitiatorError::request_timed_out, "iscsid does not answer. See its log.");
        }
        char buffer[4096];
        ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0)
            return failure(InitiatorError::daemon_comm, "iscsid closed the connection. See its log.");
        in_.append(buffer, size_t(n));
    }
}

Result<IscsidMessage> IscsidClient::call(IscsidMessage message, std::chrono::milliseconds limit) {
    auto deadline = Clock::now() + limit;
    uint32_t tag = TRY(send(std::move(message)));
    std::vector<IscsidMessage> others = std::move(early_);
    early_.clear();
    for (;;) {
        auto reply = receive(deadline);
        if (!reply || reply->tag == tag) {
            early_ = std::move(others);
            return reply;
        }
        others.push_back(std::move(*reply));
    }
}

}  // namespace iscsi::mgmt

#include "core/mgmt/metrics.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/format.h"
#include "core/base/log.h"
#include "core/mgmt/tgt_ops.h"
#include "core/scsi/unit.h"

namespace iscsi::mgmt {
namespace {

using target::ConnectionRecord;
using target::LunCounters;
using target::SessionRecord;
using ull = unsigned long long;

// A label's value: backslash, quote and newline are escaped.
std::string label(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') out += "\\n";
        else out += c;
    }
    return out;
}

void head(std::string& out, const char* name, const char* type, const char* help) {
    append(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

// One metric per row of LunCounters, in the order the text shows them.
struct LunMetric {
    const char* name;
    const char* type;
    const char* help;
    std::atomic<uint64_t> LunCounters::* counter;
};
constexpr LunMetric lun_metrics[] = {
    {"iscsi_lun_read_bytes_total", "counter", "Bytes read by initiators.", &LunCounters::read_done_bytes},
    {"iscsi_lun_read_commands_total", "counter", "Reading commands completed.", &LunCounters::read_done},
    {"iscsi_lun_written_bytes_total", "counter", "Bytes written by initiators.", &LunCounters::write_done_bytes},
    {"iscsi_lun_write_commands_total", "counter", "Writing commands completed.", &LunCounters::write_done},
    {"iscsi_lun_errors_total", "counter", "Commands that ended in CHECK CONDITION.", &LunCounters::errors},
};
struct ConnectionMetric {
    const char* name;
    const char* help;
    std::atomic<uint64_t> ConnectionRecord::* counter;
};
constexpr ConnectionMetric connection_metrics[] = {
    {"iscsi_connection_received_bytes_total", "Bytes received from the initiator.", &ConnectionRecord::rx_octets},
    {"iscsi_connection_sent_bytes_total", "Bytes sent to the initiator.", &ConnectionRecord::tx_octets},
    {"iscsi_connection_commands_total", "SCSI Command PDUs.", &ConnectionRecord::command_pdus},
};

// What a scrape shows, taken once.
struct LunRow { std::string labels; std::shared_ptr<LunCounters> counters; };
struct ConnectionRow { std::string labels; std::shared_ptr<ConnectionRecord> record; };

void process_metrics(std::string& out) {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const double cpu = double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    head(out, "process_cpu_seconds_total", "counter", "CPU time of tgtd.");
    append(out, "process_cpu_seconds_total %.2f\n", cpu);
    auto statm = read_file("/proc/self/statm", 256);
    if (!statm) return;
    char* end = nullptr;
    std::strtoull(statm->c_str(), &end, 10);
    head(out, "process_resident_memory_bytes", "gauge", "Resident memory of tgtd.");
    append(out, "process_resident_memory_bytes %llu\n", std::strtoull(end, nullptr, 10) * ull(::sysconf(_SC_PAGESIZE)));
}

void target_metrics(std::string& out, const target::Directory& directory) {
    head(out, "iscsi_sessions", "gauge", "Sessions of a target.");
    for (const auto& t : directory.targets())
        append(out, "iscsi_sessions{tid=\"%d\",target=\"%s\"} %zu\n", t->tid(), label(t->name()).c_str(), directory.sessions.of_target(t->tid()).size());
    head(out, "iscsi_lun_size_bytes", "gauge", "Capacity of a logical unit.");
    for (const auto& t : directory.targets())
        for (const auto& [lun, unit] : *t->router.table()) {
            const scsi::UnitStatus status = static_cast<const scsi::Unit&>(*unit).status();
            if (lun == 0 && status.store_path.empty()) continue;        // the controller
            append(out, "iscsi_lun_size_bytes{tid=\"%d\",target=\"%s\",lun=\"%llu\",path=\"%s\"} %llu\n", t->tid(), label(t->name()).c_str(), ull(lun),
                   label(status.store_path).c_str(), ull(status.size));
        }
}

}  // namespace

std::string metrics_text(const target::Directory& directory) {
    std::string out;
    head(out, "iscsi_build_info", "gauge", "1, with the version.");
    out += "iscsi_build_info{version=\"" ISCSI_VERSION "\"} 1\n";
    target_metrics(out, directory);
    std::vector<LunRow> luns;
    std::vector<ConnectionRow> connections;
    for (const auto& s : directory.sessions.all()) {
        std::lock_guard lock(s->mutex);
        const std::string who = "target=\"" + label(s->target) + "\",initiator=\"" + label(s->initiator) + "\",sid=\"" + std::to_string(s->sid) + "\"";
        for (const auto& [lun, counters] : s->luns) luns.push_back({who + ",lun=\"" + std::to_string(lun) + "\"", counters});
        for (const auto& c : s->connections)
            connections.push_back({who + ",cid=\"" + std::to_string(c->cid) + "\",address=\"" + label(c->address) + "\"", c});
    }
    for (const LunMetric& m : lun_metrics) {
        head(out, m.name, m.type, m.help);
        for (const LunRow& row : luns) append(out, "%s{%s} %llu\n", m.name, row.labels.c_str(), ull(row.counters.get()->*m.counter));
    }
    head(out, "iscsi_lun_busy_seconds_total", "counter", "Time commands took, summed; divided by commands it is their latency.");
    for (const LunRow& row : luns) append(out, "iscsi_lun_busy_seconds_total{%s} %.6f\n", row.labels.c_str(), double(row.counters->busy_us) / 1e6);
    head(out, "iscsi_lun_commands_in_flight", "gauge", "Commands not yet answered.");
    for (const LunRow& row : luns) append(out, "iscsi_lun_commands_in_flight{%s} %u\n", row.labels.c_str(), row.counters->in_flight.load());
    for (const ConnectionMetric& m : connection_metrics) {
        head(out, m.name, "counter", m.help);
        for (const ConnectionRow& row : connections) append(out, "%s{%s} %llu\n", m.name, row.labels.c_str(), ull(row.record.get()->*m.counter));
    }
    process_metrics(out);
    return out;
}

std::string metrics_answer(std::string_view request, const target::Directory& directory) {
    const std::string_view line = request.substr(0, request.find("\r\n"));
    const size_t blank = line.find(' '), second = line.find(' ', blank == std::string_view::npos ? blank : blank + 1);
    std::string status = "200 OK", body;
    bool only_head = false;
    if (second == std::string_view::npos || line.compare(second + 1, 5, "HTTP/") != 0) {
        status = "400 Bad Request", body = "not HTTP\n";
    } else {
        const std::string_view method = line.substr(0, blank);
        std::string_view path = line.substr(blank + 1, second - blank - 1);
        path = path.substr(0, path.find('?'));
        only_head = method == "HEAD";
        if (method != "GET" && !only_head) status = "405 Method Not Allowed", body = "GET only\n";
        else if (path != "/metrics") status = "404 Not Found", body = "metrics are at /metrics\n";
        else body = metrics_text(directory);
    }
    std::string out = "HTTP/1.1 " + status + "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " + std::to_string(body.size()) +
                      "\r\nConnection: close\r\n\r\n";
    return only_head ? out : out + body;
}

struct MetricsServer::Client final : io::Watcher {
    Client(MetricsServer& server_, Fd fd_) : server(server_), fd(std::move(fd_)),
        timer(server_.loop_, [this] { ::shutdown(fd.get(), SHUT_RDWR); }) {      // wakes on_ready, which ends it
        timer.arm(request_ms);
    }
    ~Client() { server.loop_.remove(fd.get(), *this); }

    void on_ready(uint32_t) override {
        if (out.empty() && !receive()) return;
        while (sent < out.size()) {
            ssize_t n = ::send(fd.get(), out.data() + sent, out.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) return server.loop_.modify(fd.get(), EPOLLOUT, *this);
            if (n <= 0) break;
            sent += size_t(n);
        }
        server.drop(*this);                 // the end of this object
    }

    // True once there is an answer; what ends the connection has ended it.
    bool receive() {
        char chunk[1024];
        ssize_t n = ::recv(fd.get(), chunk, sizeof chunk, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (n <= 0 || in.size() + size_t(n) > max_request) {
            server.drop(*this);
            return false;
        }
        in.append(chunk, size_t(n));
        if (in.find("\r\n\r\n") == std::string::npos) return false;
        out = metrics_answer(in, server.directory_);
        return true;
    }

    MetricsServer& server;
    Fd fd;
    std::string in, out;
    size_t sent = 0;
    io::Timer timer;
};

MetricsServer::MetricsServer(io::Loop& loop, const target::Directory& directory) : loop_(loop), directory_(directory) {}

Result<std::unique_ptr<MetricsServer>> MetricsServer::create(io::Loop& loop, const target::Directory& directory, const std::string& where) {
    const bool only_port = !where.empty() && where.find_first_not_of("0123456789") == std::string::npos;
    auto parts = io::split_host_port(only_port ? "127.0.0.1:" + where : where, 0);
    auto address = parts ? io::parse_numeric(parts->host, parts->port) : std::nullopt;
    if (!address || parts->port == 0) return Error{EINVAL, "metrics: this is not [ADDRESS:]PORT", where};
    std::unique_ptr<MetricsServer> server(new MetricsServer(loop, directory));
    server->listener_ = Fd(::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int on = 1;
    if (server->listener_) ::setsockopt(server->listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!server->listener_ || ::bind(server->listener_.get(), address->get(), address->length) != 0 || ::listen(server->listener_.get(), 16) != 0)
        return Error{errno, "listen for metrics", address->portal()};
    server->address_ = *address;
    TRY_VOID(loop.add(server->listener_.get(), EPOLLIN, *server));
    return server;
}

MetricsServer::~MetricsServer() {
    if (listener_) loop_.remove(listener_.get(), *this);
}

void MetricsServer::on_ready(uint32_t) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    if (clients_.size() >= max_clients) return;
    auto client = std::make_unique<Client>(*this, std::move(fd));
    if (!loop_.add(client->fd.get(), EPOLLIN, *client)) return;
    clients_.push_back(std::move(client));
}

void MetricsServer::drop(const Client& client) {
    clients_.remove_if([&](const std::unique_ptr<Client>& c) { return c.get() == &client; });
}

}  // namespace iscsi::mgmt

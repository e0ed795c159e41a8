#include "core/mgmt/metrics.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace iscsi;
using namespace iscsi::mgmt;

namespace {

std::shared_ptr<target::SessionRecord> add_session(target::Directory& directory) {
    directory.add(1, "iqn.2001-04.com.example:d");
    auto s = std::make_shared<target::SessionRecord>();
    s->sid = 7;
    s->tid = 1;
    s->target = "iqn.2001-04.com.example:d";
    s->initiator = "iqn.2001-04.com.example:\"odd\\name";
    auto c = std::make_shared<target::ConnectionRecord>();
    c->cid = 3;
    c->address = "2001:db8::1";
    c->rx_octets = 4711;
    s->connections.push_back(c);
    auto counters = s->counters(1);
    counters->read_done_bytes = 8192;
    counters->read_done = 2;
    counters->busy_us = 1500000;
    directory.sessions.add(s);
    return s;
}

bool has(const std::string& text, std::string_view line) { return text.find("\n" + std::string(line) + "\n") != std::string::npos; }

}  // namespace

TEST_CASE("metrics show sessions, logical units and connections, labels escaped") {
    target::Directory directory;
    auto session = add_session(directory);
    const std::string text = metrics_text(directory);
    const std::string who = "target=\"iqn.2001-04.com.example:d\",initiator=\"iqn.2001-04.com.example:\\\"odd\\\\name\",sid=\"7\"";
    CHECK(has(text, "iscsi_sessions{tid=\"1\",target=\"iqn.2001-04.com.example:d\"} 1"));
    CHECK(has(text, "iscsi_lun_read_bytes_total{" + who + ",lun=\"1\"} 8192"));
    CHECK(has(text, "iscsi_lun_busy_seconds_total{" + who + ",lun=\"1\"} 1.500000"));
    CHECK(has(text, "iscsi_connection_received_bytes_total{" + who + ",cid=\"3\",address=\"2001:db8::1\"} 4711"));
    CHECK(has(text, "# TYPE iscsi_lun_read_bytes_total counter"));
    CHECK(text.find("process_resident_memory_bytes ") != std::string::npos);
    directory.sessions.remove(*session);
}

TEST_CASE("metrics answer HTTP as far as a scraper needs") {
    target::Directory directory;
    auto status = [&](const char* request) { return metrics_answer(request, directory).substr(0, 12); };
    CHECK(status("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == "HTTP/1.1 200");
    CHECK(status("GET /metrics?name=1 HTTP/1.0\r\n\r\n") == "HTTP/1.1 200");
    CHECK(status("GET / HTTP/1.1\r\n\r\n") == "HTTP/1.1 404");
    CHECK(status("POST /metrics HTTP/1.1\r\n\r\n") == "HTTP/1.1 405");
    CHECK(status("\r\n\r\n") == "HTTP/1.1 400");
    CHECK(status("GET\r\n\r\n") == "HTTP/1.1 400");
    CHECK(status("GET /metrics\r\n\r\n") == "HTTP/1.1 400");
    const std::string head = metrics_answer("HEAD /metrics HTTP/1.1\r\n\r\n", directory);
    CHECK(head.compare(head.size() - 4, 4, "\r\n\r\n") == 0);
}

TEST_CASE("the metrics server answers on the loopback address and closes") {
    auto loop = std::move(*io::Loop::create());
    target::Directory directory;
    CHECK_FALSE(MetricsServer::create(*loop, directory, "elsewhere:1"));
    CHECK_FALSE(MetricsServer::create(*loop, directory, "0"));
    CHECK_FALSE(MetricsServer::create(*loop, directory, "127.0.0.1:99999"));
    std::unique_ptr<MetricsServer> server;
    for (int port = 20000 + ::getpid() % 20000; !server && port < 60000; port++)
        if (auto made = MetricsServer::create(*loop, directory, std::to_string(port))) server = std::move(*made);
    REQUIRE(server);
    CHECK(server->address().host() == "127.0.0.1");
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), server->address().get(), server->address().length) == 0);
    const std::string request = "GET /metrics HTTP/1.1\r\n\r\n";
    REQUIRE(::send(client.get(), request.data(), 10, MSG_NOSIGNAL) == 10);
    for (int i = 0; i < 3; i++) loop->run_once(20);
    REQUIRE(::send(client.get(), request.data() + 10, request.size() - 10, MSG_NOSIGNAL) == ssize_t(request.size() - 10));
    std::string answer;
    for (int i = 0; i < 100; i++) {
        loop->run_once(20);
        char chunk[4096];
        ssize_t n = ::recv(client.get(), chunk, sizeof chunk, MSG_DONTWAIT);
        if (n == 0) break;
        if (n > 0) answer.append(chunk, size_t(n));
    }
    CHECK(answer.compare(0, 15, "HTTP/1.1 200 OK") == 0);
    CHECK(answer.find("iscsi_build_info") != std::string::npos);
}

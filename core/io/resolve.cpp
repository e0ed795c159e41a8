#include "core/io/resolve.h"

#include <fcntl.h>
#include <strings.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/random.h"
#include "core/io/dns.h"

namespace iscsi::io {
namespace {

constexpr size_t max_addresses = 16, max_servers = 3, max_search = 6, max_file = 1 << 20;

std::string read_file(const std::string& path) {
    std::string text;
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char block[4096];
    while (fd && text.size() < max_file) {
        ssize_t n = ::read(fd.get(), block, sizeof block);
        if (n <= 0) break;
        text.append(block, size_t(n));
    }
    return text;
}

// Calls f(words) for each line, comments removed.
template <class F>
void for_each_line(const std::string& text, const char* comment, F f) {
    std::string_view rest = text;
    while (!rest.empty()) {
        size_t end = rest.find('\n');
        std::string_view line = rest.substr(0, end);
        rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
        line = line.substr(0, line.find_first_of(comment));
        std::vector<std::string_view> words;
        while (true) {
            size_t begin = line.find_first_not_of(" \t\r");
            if (begin == line.npos) break;
            line.remove_prefix(begin);
            size_t length = std::min(line.find_first_of(" \t\r"), line.size());
            words.push_back(line.substr(0, length));
            line.remove_prefix(length);
        }
        if (!words.empty()) f(words);
    }
}

bool same_name(std::string_view a, std::string_view b) {
    if (!a.empty() && a.back() == '.') a.remove_suffix(1);
    if (!b.empty() && b.back() == '.') b.remove_suffix(1);
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool family_wanted(int family, const Address& a) { return family == AF_UNSPEC || family == a.family(); }

Addresses from_hosts(const std::string& host, uint16_t port, const ResolveOptions& options) {
    Addresses out;
    for_each_line(read_file(options.hosts), "#", [&](const std::vector<std::string_view>& words) {
        for (size_t i = 1; i < words.size() && out.size() < max_addresses; i++) {
            if (!same_name(words[i], host)) continue;
            auto a = parse_numeric(words[0], port);
            if (a && family_wanted(options.family, *a)) out.push_back(*a);
            break;
        }
    });
    if (out.empty() && same_name(host, "localhost"))
        for (const char* text : {"127.0.0.1", "::1"})
            if (auto a = parse_numeric(text, port); family_wanted(options.family, *a)) out.push_back(*a);
    return out;
}

// resolv.conf(5), as far as a stub resolver needs it.
struct Config {
    std::vector<Address> servers;
    std::vector<std::string> search;
    unsigned ndots = 1, timeout_ms = 5000, attempts = 2;
};

unsigned option_value(std::string_view word, std::string_view key, unsigned value, unsigned max) {
    if (word.substr(0, key.size()) != key) return value;
    return std::min(unsigned(std::strtoul(std::string(word.substr(key.size())).c_str(), nullptr, 10)), max);
}

Config read_config(const ResolveOptions& options) {
    Config c;
    for_each_line(read_file(options.resolv_conf), "#;", [&](const std::vector<std::string_view>& words) {
        if (words[0] == "nameserver" && words.size() > 1 && c.servers.size() < max_servers) {
            if (auto a = parse_numeric(words[1], options.dns_port)) c.servers.push_back(*a);
        } else if (words[0] == "search" || words[0] == "domain") {
            c.search.clear();
            for (size_t i = 1; i < words.size() && c.search.size() < max_search; i++) c.search.emplace_back(words[i]);
        } else if (words[0] == "options") {
            for (size_t i = 1; i < words.size(); i++) {
                c.ndots = option_value(words[i], "ndots:", c.ndots, 15);
                c.timeout_ms = option_value(words[i], "timeout:", c.timeout_ms / 1000, 30) * 1000;
                c.attempts = option_value(words[i], "attempts:", c.attempts, 5);
            }
        }
    });
    if (c.servers.empty()) c.servers.push_back(*parse_numeric("127.0.0.1", options.dns_port));
    c.timeout_ms = std::max(c.timeout_ms, 1000u);
    c.attempts = std::max(c.attempts, 1u);
    return c;
}

std::vector<std::string> candidates(const std::string& host, const Config& config) {
    if (host.back() == '.') return {host};
    std::vector<std::string> out;
    bool absolute_first = unsigned(std::count(host.begin(), host.end(), '.')) >= config.ndots;
    if (absolute_first) out.push_back(host);
    for (const std::string& domain : config.search) out.push_back(host + "." + domain);
    if (!absolute_first) out.push_back(host);
    return out;
}

// RFC 6724 in short: what there is a route to comes first; the caller has put IPv6 before IPv4.
void sort_by_route(Addresses& addresses) {
    std::stable_partition(addresses.begin(), addresses.end(), [](const Address& a) {
        Fd fd(::socket(a.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
        return fd && ::connect(fd.get(), a.get(), a.length) == 0;
    });
}

}  // namespace

class Lookup::Work final : public Watcher {
public:
    Work(Loop& loop, const std::string& host, uint16_t port, const ResolveOptions& options, Done done)
        : loop_(loop), host_(host), port_(port), options_(options), done_(std::move(done)),
          step_(loop, [this] { on_step(); }), deadline_(loop, [this] { finish_error("no answer in time"); }) {
        deadline_.arm(options_.timeout_ms);
        step_.arm(0);
    }
    ~Work() { close_socket(); }

    void on_ready(uint32_t) override {
        uint8_t message[4096];
        for (;;) {
            ssize_t n = ::recv(socket_.get(), message, sizeof message, MSG_DONTWAIT);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
            if (n < 0) return next_server();        // ECONNREFUSED: nobody serves there
            if (take(Bytes(message, size_t(n)))) return;
        }
    }

private:
    enum class Phase { begin, asking };

    void on_step() {
        if (phase_ == Phase::asking) return next_server();      // this server had its time
        if (host_.empty() || host_.size() > 255) return finish_error("not a host name");
        if (auto a = parse_numeric(host_, port_)) {
            if (!family_wanted(options_.family, *a)) return finish_error("wrong address family");
            return finish({*a});
        }
        if (Addresses found = from_hosts(host_, port_, options_); !found.empty()) return finish(std::move(found));
        config_ = read_config(options_);
        names_ = candidates(host_, config_);
        phase_ = Phase::asking;
        ask();
    }

    void ask() {
        close_socket();
        const Address& server = config_.servers[server_];
        socket_ = Fd(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        bool up = socket_ && ::connect(socket_.get(), server.get(), server.length) == 0 &&
                  loop_.add(socket_.get(), EPOLLIN, *this);
        if (!up) {
            socket_.reset();
            return retry_later();
        }
        watched_ = true;
        fill_random({reinterpret_cast<uint8_t*>(ids_), sizeof ids_});
        for (int i = 0; i < 2; i++) {
            answered_[i] = options_.family == (i == 0 ? AF_INET : AF_INET6);     // the family not asked for
            if (answered_[i]) continue;
            auto q = dns::query(ids_[i], names_[name_], type(i));
            if (!q) return next_name();
            if (::send(socket_.get(), q->data(), q->size(), MSG_NOSIGNAL) < 0) return retry_later();
        }
        step_.arm(config_.timeout_ms);
    }

    static dns::Type type(int i) { return i == 0 ? dns::Type::aaaa : dns::Type::a; }

    // True: this socket is done with (the object may be gone).
    bool take(Bytes message) {
        for (int i = 0; i < 2; i++) {
            if (answered_[i]) continue;
            dns::Answer a = dns::answer(message, ids_[i], names_[name_], type(i), max_addresses / 2);
            switch (a.kind) {
            case dns::Answer::Kind::foreign: continue;
            case dns::Answer::Kind::malformed:
            case dns::Answer::Kind::failure: next_server(); return true;
            case dns::Answer::Kind::no_such_name: answered_by_server_ = true; break;
            case dns::Answer::Kind::addresses:
                answered_by_server_ = true;
                for (Address& address : a.addresses) {
                    address.set_port(port_);
                    found_.push_back(address);
                }
            }
            answered_[i] = true;
        }
        if (!answered_[0] || !answered_[1]) return false;
        if (found_.empty()) {
            next_name();
        } else {
            std::stable_sort(found_.begin(), found_.end(),
                             [](const Address& x, const Address& y) { return x.family() == AF_INET6 && y.family() != AF_INET6; });
            sort_by_route(found_);
            finish(std::move(found_));
        }
        return true;
    }

    void next_name() {
        close_socket();
        found_.clear();
        server_ = attempt_ = 0;
        if (++name_ == names_.size()) return finish_error("no such host");
        ask();
    }

    void next_server() {
        if (!found_.empty()) return finish(std::move(found_));  // one family answered, the other did not
        if (++server_ == config_.servers.size()) {
            server_ = 0;
            if (++attempt_ == config_.attempts) return finish_error("no answer from the name servers");
        }
        ask();
    }

    // A server that cannot even be asked: not at once again, lest a broken network makes us spin.
    void retry_later() {
        close_socket();
        step_.arm(50);
    }

    void close_socket() {
        if (watched_) loop_.remove(socket_.get(), *this);
        watched_ = false;
        socket_.reset();
    }

    void finish_error(const char* why) {
        if (phase_ == Phase::asking && answered_by_server_) why = "no such host";
        deliver(Error{0, "resolve", host_.substr(0, 255) + ": " + why});
    }
    void finish(Addresses found) { deliver(std::move(found)); }
    void deliver(Result<Addresses> result) {
        close_socket();
        step_.cancel();
        deadline_.cancel();
        Done done = std::move(done_);
        done(std::move(result));        // may delete this
    }

    Loop& loop_;
    std::string host_;
    uint16_t port_;
    ResolveOptions options_;
    Done done_;
    Timer step_, deadline_;
    Phase phase_ = Phase::begin;
    Config config_;
    std::vector<std::string> names_;
    size_t name_ = 0, server_ = 0;
    unsigned attempt_ = 0;
    Fd socket_;
    bool watched_ = false, answered_by_server_ = false;
    uint16_t ids_[2]{};
    bool answered_[2]{};
    Addresses found_;
};

Lookup::Lookup(Loop& loop, const std::string& host, uint16_t port, const ResolveOptions& options, Done done)
    : work_(std::make_unique<Work>(loop, host, port, options, std::move(done))) {}
Lookup::~Lookup() = default;

Result<Addresses> resolve(const std::string& host, uint16_t port, const ResolveOptions& options) {
    auto loop = TRY(Loop::create());
    std::optional<Result<Addresses>> answer;
    Lookup lookup(*loop, host, port, options, [&](Result<Addresses> r) { answer.emplace(std::move(r)); });
    while (!answer) loop->run_once(-1);
    return std::move(*answer);
}

}  // namespace iscsi::io

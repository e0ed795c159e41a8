// Portals, side by side on one loop: name, route, port, whether iSCSI is spoken there, packets of full size, the list of
// targets against our records, and a login of our own to each target that has no session yet.
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>

#include "core/base/file.h"
#include "core/config/iscsid_conf.h"
#include "core/doctor/doctor.h"
#include "core/doctor/path_mtu.h"
#include "core/initiator/client.h"
#include "core/initiator/connector.h"
#include "core/initiator/discovery.h"
#include "core/initiator/session_settings.h"

namespace iscsi::doctor {
namespace {

using config::Key;
using config::Record;
using namespace initiator;

constexpr size_t max_portals = 64, max_logins = 64;

struct LoginJob {
    std::string target;
    SessionConfig settings;
    bool by_url = false;
};

struct Job {
    std::string host;
    uint16_t port = 3260;
    ChapSettings discovery_chap;
    std::string bind_interface, bind_address;
    std::vector<std::string> expected;          // targets that records say are there
    std::vector<std::unique_ptr<LoginJob>> logins;
};

// The interface that has the address, and its MTU; 0: none (it is not ours).
int mtu_of_source(int socket, const io::Address& source) {
    for (const std::string& name : list_folder("/sys/class/net")) {
        ifreq request{};
        if (name.size() >= sizeof request.ifr_name) continue;
        std::memcpy(request.ifr_name, name.c_str(), name.size());
        if (::ioctl(socket, SIOCGIFADDR, &request) != 0 || source.family() != AF_INET) continue;
        const auto& address = reinterpret_cast<const sockaddr_in&>(request.ifr_addr);
        if (address.sin_addr.s_addr != reinterpret_cast<const sockaddr_in*>(source.get())->sin_addr.s_addr) continue;
        if (::ioctl(socket, SIOCGIFMTU, &request) == 0) return request.ifr_mtu;
    }
    return 0;
}

class Probe final : public SessionOwner {
public:
    Probe(io::Loop& loop, const Options& options, const State& state, Job& job, size_t& left)
        : loop_(loop), options_(options), state_(state), job_(job), portal_text_(config::portal_text(job_.host, job_.port)),
          portal_(portal_text_.c_str()), left_(left) {
        ConnectSettings s;
        aim(s);
        connector_ = std::make_unique<Connector>(loop, s, [this](Fd fd, const ConnectFailure& failure) { connected(std::move(fd), failure); });
    }

    Report report;

private:
    // Where to, how, and how long at most: of a connection and of a discovery.
    template <class Settings>
    void aim(Settings& s) const {
        s.host = job_.host;
        s.port = job_.port;
        s.bind_interface = job_.bind_interface;
        s.bind_address = job_.bind_address;
        s.timeout_ms = options_.deadline_ms;
    }

    void finish() {
        if (over_) return;
        over_ = true;
        left_--;
    }

    void connected(Fd fd, const ConnectFailure& failure) {
        if (!fd) {
            unreachable(failure);
            return finish();
        }
        measure(fd.get());
        fd.reset();
        DiscoverySettings s;
        aim(s);
        s.login.offers.initiator_name = state_.initiator_name;
        s.login.offers.max_recv_data_segment = 32768;
        s.login.isid = random_isid();
        s.login.chap = job_.discovery_chap;
        discovery_ = std::make_unique<Discovery>(loop_, s, [this](DiscoveryResult r) { discovered(r); });
    }

    void unreachable(const ConnectFailure& f) {
        const char* host = job_.host.c_str();
        const unsigned port = job_.port;
        if (f.unresolved)
            return report.fail("portal %s", portal_)
                .found("%s", f.text.c_str())
                .mend("see /etc/hosts and /etc/resolv.conf; getent hosts %s", host);
        switch (f.code) {
        case ECONNREFUSED:
            return report.fail("portal %s", portal_)
                .found("connection refused: the host is there, nobody listens on port %u (or a firewall rejects)", port)
                .mend("on the target: systemctl start tgt; ss -ltn sport = :%u", port);
        case ENETUNREACH:
            return report.fail("portal %s", portal_)
                .found("no route to that network")
                .mend("ip route get %s; ip link", host);
        case EHOSTUNREACH: case EHOSTDOWN:
            return report.fail("portal %s", portal_)
                .found("no route to host: it is down, not in this network, or a firewall says so")
                .mend("ip route get %s; ping %s; ip neigh", host, host);
        case ETIMEDOUT:
            return report.fail("portal %s", portal_)
                .found("silence for %llu ms: a firewall drops packets to port %u, or the host is down",
                       static_cast<unsigned long long>(options_.deadline_ms), port)
                .mend("ping %s; on the target: nft insert rule inet filter input tcp dport %u accept", host, port);
        case EACCES: case EPERM:
            return report.fail("portal %s", portal_)
                .found("this machine's own firewall forbids it")
                .mend("nft list ruleset (hook output)");
        default: return report.fail("portal %s", portal_).found("%s", f.text.c_str()).mend("ip route get %s", host);
        }
    }

    // What the connection says of the path: our interface's MTU, the path's, the peer's segment size.
    void measure(int fd) {
        sockaddr_storage name{};
        socklen_t length = sizeof name;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0) return;
        io::Address peer = io::from_sockaddr(reinterpret_cast<sockaddr*>(&name), length);
        length = sizeof name;
        if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0) return;
        const io::Address source = io::from_sockaddr(reinterpret_cast<sockaddr*>(&name), length);
        if (source.host() == peer.host()) return;                       // this machine itself
        const bool v6 = peer.family() == AF_INET6;
        int path = 0, segment = 0;
        length = sizeof path;
        if (::getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &path, &length) != 0) return;
        length = sizeof segment;
        ::getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, &length);
        const int own = mtu_of_source(fd, source);
        if (own > path)
            report.warn("MTU to %s", portal_)
                .found("our interface has %d, the path takes %d", own, path)
                .mend("ip link set DEVICE mtu %d, or raise it on every hop", path);
        else if (path > 1500 && segment > 0 && segment + 100 < path)
            report.warn("MTU to %s", portal_)
                .found("our interface has %d, the other side takes segments of %d: jumbo frames on one side only", path, segment)
                .mend("the same MTU on both: ip link set DEVICE mtu %d", path);
        else if (path <= 1500) report.ok("MTU to %s", portal_).is("%d, segments of %d", path, segment);
        if (path <= 1500 || path >= 65536) return;
        mtu_probe_ = std::make_unique<PathMtu>(loop_, peer, path, [this](const PathMtu::Answer& a) { measured(a); });
        mtu_pending_ = true;
    }

    void measured(const PathMtu::Answer& a) {
#define ISCSI_MTU_FIX "the same MTU on every interface and switch between (ip link set DEVICE mtu 9000), or 1500 here"
        switch (a.outcome) {
        case PathMtu::Outcome::passes: report.ok("MTU to %s", portal_).is("%d, packets of that size arrive", a.mtu); break;
        case PathMtu::Outcome::lost:
            report.fail("MTU to %s", portal_)
                .found("jumbo frames do not pass: packets of %d bytes vanish, small ones arrive. Logins work, data hangs", a.mtu)
                .mend(ISCSI_MTU_FIX);
            break;
        case PathMtu::Outcome::too_large:
            report.warn("MTU to %s", portal_)
                .found("a hop takes no more than %d", a.mtu)
                .mend(ISCSI_MTU_FIX);
            break;
        case PathMtu::Outcome::silent:
            report.ok("MTU to %s", portal_)
                .is("%d; whether it passes cannot be told: the host answers no datagrams", a.mtu);
            break;
        }
        mtu_pending_ = false;
        if (logins_over_) finish();
    }

    void discovered(const DiscoveryResult& r) {
        if (r.ok) {
            report.ok("portal %s", portal_)
                .is("answers, lists %zu address%s of targets", r.portals.size(), r.portals.size() == 1 ? "" : "es");
            compare(r);
        } else {
            discovery_failed(r.failure);
            if (r.failure.kind != DiscoveryFailure::Kind::login) return end_logins();
        }
        loop_.post([this] { next_login(); });
    }

    void discovery_failed(const DiscoveryFailure& f) {
        const char *user = job_.discovery_chap.account.user.c_str(), *why = f.text.c_str();
        const unsigned port = job_.port;
        switch (f.kind) {
        case DiscoveryFailure::Kind::login:
            if (f.login.kind != LoginFailure::Kind::refused || f.login.status != wire::LoginStatus::authentication_failed)
                return report.fail("discovery at %s", portal_).found("%s", why).mend("see the target's log");
            return report.fail("discovery at %s", portal_)
                .found("%s%s%s",
                       *user ? "the portal does not take the CHAP user '" : "the portal wants CHAP for discovery, and there is no user here",
                       user, *user ? "' with this secret" : "")
                .mend("iscsiadm -m discoverydb -t st -p %s -o update -n discovery.sendtargets.auth.authmethod -v CHAP"
                      " (.username, .password)", portal_);
        case DiscoveryFailure::Kind::timeout:
            return report.fail("portal %s", portal_)
                .found("takes connections, but says nothing for %llu ms: a target that hangs, or no iSCSI",
                       static_cast<unsigned long long>(options_.deadline_ms))
                .mend("on the target: see its log; ss -ltnp sport = :%u", port);
        case DiscoveryFailure::Kind::protocol: case DiscoveryFailure::Kind::closed:
            return report.fail("portal %s", portal_)
                .found("answers, but not as an iSCSI target: %s", why)
                .mend("another service's port? On the target: ss -ltnp sport = :%u", port);
        default: return report.fail("portal %s", portal_).found("%s", why).mend("iscsi ls iscsi://%s", portal_);
        }
    }

    void compare(const DiscoveryResult& r) {
        for (const std::string& target : job_.expected) {
            const bool listed = std::any_of(r.portals.begin(), r.portals.end(),
                                            [&](const DiscoveredPortal& p) { return p.target_name == target; });
            if (listed) continue;
            const bool ours = std::any_of(state_.targets.begin(), state_.targets.end(),
                                          [&](const mgmt::RunningTarget& t) { return t.name == target; });
            const char *us = state_.initiator_name.c_str(), *t = target.c_str();
            if (ours)
                report.fail("record %s at %s", t, portal_)
                    .found("the tgtd here has this target, but its ACL hides it from %s", us)
                    .mend("tgtadm --lld iscsi --mode target --op bind --tid N -Q %s (or -I ADDRESS)", us);
            else
                report.fail("record %s at %s", t, portal_)
                    .found("the portal does not list this target: gone, or hidden from %s", us)
                    .mend("iscsiadm -m node -T %s -p %s -o delete, or let us in on the target", t, portal_);
        }
    }

    void next_login() {
        session_.reset();
        if (login_ == job_.logins.size()) return end_logins();
        session_ = std::make_unique<Session>(loop_, job_.logins[login_]->settings, *this);
        session_->start();
    }
    void end_logins() {
        logins_over_ = true;
        if (!mtu_pending_) finish();
    }
    void session_up(Session& session) override { up_ = true, session.logout(); }
    void session_ended(Session&, const SessionEnd& end) override {
        const LoginJob& job = *job_.logins[login_];
        const ChapSettings& chap = job.settings.login.chap;
        if (!up_) report_login(report, end, job.settings.login, job.target.c_str(), portal_, job.by_url);
        else if (chap.account.user.empty())
            report.ok("login %s at %s", job.target.c_str(), portal_).is("works, without CHAP");
        else
            report.ok("login %s at %s", job.target.c_str(), portal_)
                .is("works, CHAP as %s%s", chap.account.user.c_str(), chap.target_account.user.empty() ? "" : ", mutual");
        up_ = false;
        login_++;
        loop_.post([this] { next_login(); });
    }

    io::Loop& loop_;
    const Options& options_;
    const State& state_;
    Job& job_;
    const std::string portal_text_;
    const char* portal_;
    size_t& left_;
    std::unique_ptr<Connector> connector_;
    std::unique_ptr<Discovery> discovery_;
    std::unique_ptr<PathMtu> mtu_probe_;
    std::unique_ptr<Session> session_;
    size_t login_ = 0;
    bool mtu_pending_ = false, logins_over_ = false, up_ = false, over_ = false;
};

void take_discovery_chap(const Record& record, ChapSettings& chap) {
    if (record.text(Key::st_username).empty() || record.text(Key::st_password).empty()) return;
    chap.account = {record.text(Key::st_username), Secret(record.text(Key::st_password))};
    chap.target_account = {record.text(Key::st_username_in), Secret(record.text(Key::st_password_in))};
}

class Plan {
public:
    Plan(const Options& options, const State& state) : options_(options), state_(state), database_(options.places.state),
        defaults_(config::read_iscsid_conf(options.places.iscsid_conf).new_record(config::Kind::send_targets)),
        sysfs_(options.places.sysfs, options.places.proc) {}

    Job& at(const std::string& host, uint16_t port) {
        for (const auto& j : jobs)
            if (j->host == host && j->port == port) return *j;
        Job& job = *jobs.emplace_back(std::make_unique<Job>());
        job.host = host;
        job.port = port;
        const auto record = database_.discovery(config::Kind::send_targets, host, port);
        take_discovery_chap(record ? *record : defaults_, job.discovery_chap);
        return job;
    }

    void add(const Record& node, Report& report, bool even_with_session) {
        const config::NodeId id = config::id_of(node);
        auto settings = session_settings(node, state_.initiator_name, "", sysfs_);
        if (!settings)
            return report.fail("record %s at %s", id.target.c_str(), id.address.c_str())
                .found("%s", settings.error().text().c_str())
                .mend("iscsiadm -m node -T %s -o update, or -o delete", id.target.c_str());
        Job& job = at(settings->address, settings->port);
        if (std::find(job.expected.begin(), job.expected.end(), id.target) == job.expected.end()) job.expected.push_back(id.target);
        for (const kernel::SessionInfo& s : sysfs_.sessions())
            if (!even_with_session && s.target_name == id.target && s.state == "LOGGED_IN" &&
                (s.persistent_address == settings->address || s.address == settings->address)) return;
        SessionConfig* c = new_login(job, id.target);
        if (!c) return;
        c->login.offers = settings->offers;
        c->login.chap = std::move(settings->chap);
        c->connect.bind_interface = settings->bind_interface;
        c->connect.bind_address = settings->bind_address;
        complete(*c, job, id.target, settings->initiator_name);
    }
    void add(const Url& url) {
        Job& job = at(url.host, url.port);
        if (url.target_name.empty()) {
            job.discovery_chap.account = {url.user, url.password};
        } else if (SessionConfig* c = new_login(job, url.target_name)) {
            job.logins.back()->by_url = true;
            *c = session_config(url, state_.initiator_name);
            complete(*c, job, url.target_name, url.initiator_name.empty() ? state_.initiator_name : url.initiator_name);
        }
    }

    std::vector<std::unique_ptr<Job>> jobs;

private:
    SessionConfig* new_login(Job& job, const std::string& target) {
        if (logins_++ >= max_logins) return nullptr;
        job.logins.push_back(std::make_unique<LoginJob>());
        job.logins.back()->target = target;
        return &job.logins.back()->settings;
    }
    void complete(SessionConfig& c, const Job& job, const std::string& target, const std::string& name) const {
        c.host = job.host;
        c.port = job.port;
        c.login.offers.target_name = target;
        c.login.offers.initiator_name = name;
        c.login.isid = random_isid();           // a session of its own beside any that this host has
        c.connect_timeout_ms = c.login_timeout_ms = options_.deadline_ms;
        c.replacement_timeout_ms = 0;
    }

    const Options& options_;
    const State& state_;
    config::Database database_;
    Record defaults_;
    kernel::Sysfs sysfs_;
    size_t logins_ = 0;
};

Result<void> take_word(const std::string& word, const State& state, Plan& plan, Report& report) {
    if (is_url(word)) {
        plan.add(TRY(parse_url(word)));
        return {};
    }
    if (config::valid_iscsi_name(word)) {
        bool found = false;
        for (const Record& node : state.nodes)
            if (node.text(Key::node_name) == word) found = true, plan.add(node, report, true);
        if (!found)
            report.fail("record %s", word.c_str())
                .found("there is none")
                .mend("iscsiadm -m discovery -t st -p PORTAL");
        return {};
    }
    auto portal = config::parse_portal(word);
    if (!portal || portal->port < 1 || portal->port > 65535)
        return Error{0, "'" + word + "' is neither a target's name nor a portal nor an iscsi:// URL", ""};
    plan.at(portal->address, uint16_t(portal->port));
    for (const Record& node : state.nodes)
        if (const config::NodeId id = config::id_of(node); id.address == portal->address && id.port == portal->port)
            plan.add(node, report, false);
    return {};
}

}  // namespace

Result<void> check_portals(const Options& options, const State& state, Report& report) {
    Plan plan(options, state);
    for (const std::string& word : options.words) TRY_VOID(take_word(word, state, plan, report));
    if (options.words.empty()) {
        config::Database database(options.places.state);
        for (const Record& node : state.nodes) plan.add(node, report, false);
        for (const config::DiscoveryPortal& p : database.discoveries(config::Kind::send_targets)) plan.at(p.address, uint16_t(p.port));
    }
    if (plan.jobs.size() > max_portals) {
        report.warn("portals")
            .found("%zu are known; the first %zu are asked", plan.jobs.size(), max_portals)
            .mend("iscsi doctor PORTAL...");
        plan.jobs.resize(max_portals);
    }
    auto loop = io::Loop::create();
    if (!loop) return loop.error();
    size_t left = plan.jobs.size();
    std::vector<std::unique_ptr<Probe>> probes;
    for (const auto& job : plan.jobs) probes.push_back(std::make_unique<Probe>(**loop, options, state, *job, left));
    // Each step has its deadline; this is for a portal that stays just below it, again and again.
    const uint64_t end = io::Loop::clock_ms() + 8 * options.deadline_ms;
    while (left > 0 && io::Loop::clock_ms() < end) (*loop)->run_once(100);
    for (const auto& probe : probes)
        for (const Finding& f : probe->report.findings()) report.add(f);
    if (left > 0)
        report.warn("portals")
            .found("%zu did not come to an end in time", left)
            .mend("iscsi doctor --timeout 30 PORTAL");
    return {};
}

}  // namespace iscsi::doctor

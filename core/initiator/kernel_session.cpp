#include "core/initiator/kernel_session.h"

#include <cstring>

#include "core/base/log.h"
#include "core/io/tcp.h"

namespace iscsi::initiator {

using kernel::StopFlag;

namespace {
constexpr unsigned max_redirects = 8;
constexpr uint32_t cid = 0;
}  // namespace

KernelSession::KernelSession(KernelContext& context, SessionSettings settings)
    : context_(context), settings_(std::move(settings)), timer_(context.loop, [this] { on_timer(); }),
      limit_(context.loop, [this] { on_limit(); }) {}

KernelSession::~KernelSession() = default;

bool KernelSession::move(ConnectionEvent on) {
    const ConnectionTransition* t = next(connection_, on);
    if (!t) return false;
    log::debug("%s: %s -> %s (%s)", name(), text(t->from), text(t->to), t->rfc);
    connection_ = t->to;
    return true;
}

void KernelSession::move(SessionEvent on) {
    if (const SessionTransition* t = next(session_, on)) session_ = t->to;
}

void KernelSession::set_sid(uint32_t sid) {
    sid_ = sid;
    name_ = "connection" + std::to_string(sid) + ":0";
}

void KernelSession::login(uint64_t limit_ms, Done done) {
    done_ = std::move(done);
    started_ms_ = io::Loop::clock_ms();
    if (limit_ms) limit_.arm(limit_ms);
    attempt();
}

uint64_t KernelSession::retry_delay() const {
    return context_.pace.retry_ms * (attempts_ < 1 ? 1 : attempts_ > 3 ? 3 : attempts_);
}

// A redirection is followed once: a portal we were sent to may be gone, and the first one knows better. Where the target has
// moved for good comes first in later logins (§11.13.5), by turns with the record's portal.
KernelSession::Place KernelSession::next_place() const {
    if (!redirect_.host.empty()) return redirect_;
    if (!moved_.host.empty() && attempts_ % 2 == 1) return moved_;
    return {settings_.address, settings_.port};
}

void KernelSession::attempt() {
    if (connection_ != ConnectionState::xpt_wait) move(ConnectionEvent::connect_requested);
    phase_ = Phase::connecting;
    attempts_++;
    ConnectSettings c;
    place_ = next_place();
    c.host = place_.host;
    c.port = place_.port;
    c.bind_interface = settings_.bind_interface;
    c.bind_address = settings_.bind_address;
    c.buffer_size = settings_.window_size;
    c.type_of_service = settings_.type_of_service;
    c.timeout_ms = seconds(settings_.login_timeout);
    // Login and connect share one deadline; the connector's fires a little earlier, so that its message is the one seen.
    timer_.arm(c.timeout_ms + 50);
    connector_ = std::make_unique<Connector>(context_.loop, std::move(c), [this](Fd fd, const ConnectFailure& failure) {
        on_connected(std::move(fd), failure);
    });
}

void KernelSession::on_connected(Fd fd, const ConnectFailure& failure) {
    const std::string host = place_.host;
    const uint16_t port = place_.port;
    if (!fd) {
        timer_.cancel();
        if (failure.unresolved) {
            const bool silent = failure.text.find("no answer") != std::string::npos;
            log::error("Cannot resolve host %s. getaddrinfo error: [%s]", host.c_str(),
                       silent ? "Temporary failure in name resolution" : "Name or service not known");
            log::error("cannot resolve host name %s", host.c_str());
            return attempt_failed({InitiatorError::transport, established_, "cannot resolve host name " + host});
        }
        log::error("connect to %s:%u failed (%s)", host.c_str(), port, failure.text.c_str());
        return attempt_failed({InitiatorError::transport_timeout, true, "connect to " + host + " failed: " + failure.text});
    }
    fd_ = std::move(fd);
    move(ConnectionEvent::connected);
    phase_ = Phase::logging_in;
    if (auto given = hand_over(); !given) {
        log::error("%s: %s", name(), given.error().text().c_str());
        return attempt_failed({InitiatorError::internal, established_, given.error().text()});
    }
    start_login();
}

// The kernel reads the socket from here on; our fd only keeps it open.
Result<void> KernelSession::hand_over() {
    kernel::Transport& k = context_.transport;
    if (!sid_) {
        auto made = TRY(k.create_session(settings_.initial_cmd_sn, settings_.cmds_max, settings_.queue_depth));
        set_sid(made.sid);
        host_ = int(made.host);
        TRY_VOID(k.create_connection(*sid_, cid));
    }
    TRY_VOID(k.bind_connection(*sid_, cid, fd_.get()));
    return set_params_before_login();
}

void KernelSession::start_login() {
    LoginSettings l;
    l.offers = settings_.offers;
    l.offers.initiator_name = settings_.initiator_name;
    l.offers.alias = settings_.initiator_alias;
    l.offers.target_name = settings_.target_name;
    l.chap = settings_.chap;
    l.cmd_sn = settings_.initial_cmd_sn;
    // RFC 7143 §11.12.5: OUI format, open-iscsi's 00023d, qualifier: the kernel's session number.
    l.isid = {0x00, 0x02, 0x3d, uint8_t(*sid_ >> 16), uint8_t(*sid_ >> 8), uint8_t(*sid_)};
    login_ = std::make_unique<Login>(std::move(l));
    Login::Step step = login_->start();
    if (step != Login::Step::send) return on_login_failed();
    auto sent = context_.transport.send_pdu(*sid_, cid, Bytes(reinterpret_cast<const uint8_t*>(&login_->header()), 48), login_->data());
    if (!sent) attempt_failed({InitiatorError::transport_timeout, true, sent.error().text()});
}

void KernelSession::on_login_pdu(const kernel::Event& event) {
    if (!login_ || phase_ != Phase::logging_in) return;
    wire::LoginResponse header;
    std::memcpy(static_cast<void*>(&header), event.header.data(), sizeof header);
    // The kernel sent a tag of its own and has matched the answer by it; what it hands up may be either's.
    header.itt = login_->header().itt;
    switch (login_->feed(header, event.data)) {
    case Login::Step::send: {
        auto sent = context_.transport.send_pdu(*sid_, cid, Bytes(reinterpret_cast<const uint8_t*>(&login_->header()), 48),
                                                login_->data());
        if (!sent) attempt_failed({InitiatorError::transport_timeout, true, sent.error().text()});
        return;
    }
    case Login::Step::done: return on_login_done();
    case Login::Step::failed: return on_login_failed();
    }
}

void KernelSession::on_login_done() {
    timer_.cancel();
    Result<void> started = set_params_after_login();
    if (started) started = context_.transport.start_connection(*sid_, cid);
    login_.reset();
    if (fd_) io::choose_congestion_control(fd_.get(), "auto");      // a session that was adopted has its socket in the kernel only
    if (!started) {
        log::error("%s: %s", name(), started.error().text().c_str());
        return attempt_failed({InitiatorError::internal, established_, started.error().text()});
    }
    move(ConnectionEvent::login_done);
    phase_ = Phase::full_feature;
    work_ = Work::none;
    redirects_ = 0;
    if (established_) {
        log::warning("%s is operational after recovery (%u attempts)", name(), attempts_);
        move(SessionEvent::reinstated);
    } else {
        log::warning("Connection%u:0 to %s is operational now", *sid_, settings_.describe().c_str());
        move(SessionEvent::logged_in);
    }
    attempts_ = 0;
    if (!established_ || scan_pending_) logged_in_first();
}

void KernelSession::logged_in_first() {
    established_ = true;
    scan_pending_ = false;
    tune_xmit_thread();
    if (!settings_.scan) return answer(InitiatorError::none, "");
    limit_.arm(context_.pace.scan_limit_ms);
    scan_ = std::make_unique<ScanJob>(context_.loop, [this] { answer(InitiatorError::none, ""); });
    if (auto begun = scan_->start(context_.sysfs, *sid_, host_, settings_.queue_depth); !begun) {
        log::error("scan of host%d failed: %s", host_, begun.error().text().c_str());
        answer(InitiatorError::none, "");
    }
}

void KernelSession::on_login_failed() {
    LoginFailure f = login_->failure();
    const unsigned status = unsigned(f.status), sid = sid_.value_or(0);
    login_.reset();
    switch (f.kind) {
    case LoginFailure::Kind::redirected: {
        if (++redirects_ > max_redirects) {
            log::error("%s: the target redirects in a circle", name());
            return attempt_failed({InitiatorError::fatal_login, established_, "redirection loop"});
        }
        drop_connection(established_ ? StopFlag::recover : StopFlag::terminate);
        if (!established_) destroy();
        move(ConnectionEvent::login_failed);
        redirect_ = {f.host, f.port};
        if (f.permanent) moved_ = redirect_;
        log::info("%s: the target has moved %s to %s:%u", settings_.target_name.c_str(), f.permanent ? "for good" : "temporarily",
                  f.host.c_str(), f.port);
        work_ = Work::redirect;
        attempts_--;
        return attempt();
    }
    case LoginFailure::Kind::refused: break;
    case LoginFailure::Kind::target_unproved:
        log::error("failing authentication, received incorrect CHAP response from target %s", settings_.target_name.c_str());
        log::error("%s Login error (Login status 5)", name());
        return attempt_failed({InitiatorError::fatal_login, established_, f.text});
    case LoginFailure::Kind::negotiation:
        log::error("Login negotiation failed, %s", f.text.c_str());
        log::error("%s Login error (Login status 4)", name());
        return attempt_failed({InitiatorError::fatal_login, established_, f.text});
    case LoginFailure::Kind::security:
        log::error("Login failed to authenticate with target %s", settings_.target_name.c_str());
        log::error("%s Login error (%s)", name(), f.text.c_str());
        return attempt_failed({InitiatorError::login_auth_failed, established_, f.text});
    case LoginFailure::Kind::protocol:
        log::error("%s Login error (%s)", name(), f.text.c_str());
        return attempt_failed({InitiatorError::login, true, f.text});
    }
    if (f.status == wire::LoginStatus::authentication_failed) {
        log::error("Login failed to authenticate with target %s", settings_.target_name.c_str());
        log::error("session %u login rejected: Initiator failed authentication with target", sid);
        return attempt_failed({InitiatorError::login_auth_failed, established_, f.text});
    }
    if (f.status == wire::LoginStatus::authorization_failed) {
        log::error("%s login rejected: initiator failed authorization with target", name());
        return attempt_failed({InitiatorError::login_auth_failed, established_, f.text});
    }
    log::error("%s login rejected: %s - %s (%02x/%02x)", name(), status >> 8 == 3 ? "target error" : "initiator error",
               text(f.status), status >> 8, status & 0xff);
    attempt_failed({f.retry() ? InitiatorError::login : InitiatorError::fatal_login, established_ || f.retry(), f.text});
}

void KernelSession::attempt_failed(const Trouble& trouble) {
    timer_.cancel();
    connector_.reset();
    login_.reset();
    const bool had_connection = connection_ != ConnectionState::xpt_wait;
    if (had_connection) drop_connection(established_ ? StopFlag::recover : StopFlag::terminate);
    if (!established_) destroy();
    move(had_connection ? ConnectionEvent::login_failed : ConnectionEvent::connect_failed);
    redirect_ = {};
    redirects_ = 0;

    if (established_) {
        work_ = Work::reopen;
        if (settings_.reopen_max && attempts_ > settings_.reopen_max) {
            log::error("%s: giving up after %u attempts (node.session.reopen_max)", name(), attempts_);
            return finish(trouble.error, trouble.text);
        }
    } else {
        const uint64_t spent = io::Loop::clock_ms() - started_ms_;
        const bool used_up = attempts_ > settings_.login_retry_max &&
                             spent + retry_delay() > seconds(uint64_t(settings_.login_retry_max) * settings_.login_timeout);
        if (!trouble.retry || used_up) return finish(trouble.error, trouble.text);
    }
    move(ConnectionEvent::connect_requested);
    phase_ = Phase::waiting;
    timer_.arm(retry_delay());
}

void KernelSession::answer(InitiatorError error, const std::string& message) {
    limit_.cancel();
    Done done = std::move(done_);
    done_ = nullptr;
    if (done) done(error, message);
    if (Done next = std::move(logout_after_)) {
        logout_after_ = nullptr;
        if (gone_ || error != InitiatorError::none)
            next(InitiatorError::session_not_connected, "the session went away");
        else
            logout(std::move(next));
    }
}

// The login as a whole takes too long for who asked for it; or only the scan does.
void KernelSession::on_limit() {
    if (established_) {
        log::warning("%s: the SCSI scan of host%d is still running", name(), host_);
        return answer(InitiatorError::none, "");
    }
    timer_.cancel();
    connector_.reset();
    login_.reset();
    if (connection_ == ConnectionState::in_login) drop_connection(StopFlag::terminate);
    destroy();
    finish(InitiatorError::transport_timeout, "no login within the time given");
}

void KernelSession::on_timer() {
    switch (phase_) {
    case Phase::waiting: return attempt();
    case Phase::connecting:
    case Phase::logging_in:
        log::error("%s: login to %s timed out", name(), settings_.target_name.c_str());
        return attempt_failed({InitiatorError::pdu_timeout, true, "login timed out"});
    case Phase::unbinding:
        log::warning("%s: devices are not gone yet, logging out all the same", name());
        return send_logout();
    case Phase::logging_out:
        log::warning("%s: no answer to the logout", name());
        move(ConnectionEvent::logout_failed);
        return lost(0);
    case Phase::idle:
    case Phase::full_feature:
    case Phase::leaving: return;
    }
}

}  // namespace iscsi::initiator

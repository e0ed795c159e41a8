// The life of a session: resolve, connect, log in, stay, lose the connection and begin again, log out.
#include "core/initiator/session.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "core/base/log.h"
#include "core/base/random.h"
#include "core/initiator/session_tags.h"

namespace iscsi::initiator {
namespace {

constexpr uint64_t first_backoff_ms = 250, longest_backoff_ms = 8000;
constexpr uint64_t busy_tick_ms = 1000;
constexpr uint64_t settled_ms = 10000;          // a session that has lasted so long is none that fails at once
constexpr uint32_t offered_r2t = 8;             // Session::max_r2t

SessionConfig within_limits(SessionConfig s) {
    s.max_commands = std::clamp(s.max_commands, 1u, max_tasks);
    s.login.offers.max_outstanding_r2t = std::clamp(s.login.offers.max_outstanding_r2t, 1u, offered_r2t);
    s.login.offers.data_pdu_in_order = s.login.offers.data_sequence_in_order = true;
    s.login.offers.error_recovery_level = 0;
    s.login.offers.max_connections = 1;
    s.login.offers.discovery = false;
    s.login.tsih = 0;
    return s;
}

__attribute__((format(printf, 1, 2))) std::string line(const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

}  // namespace

std::array<uint8_t, 6> random_isid() {
    std::array<uint8_t, 6> isid{};
    fill_random(isid);
    isid[0] = 0x80;                             // T=10b: random
    return isid;
}

Session::Session(io::Loop& loop, SessionConfig settings, SessionOwner& owner)
    : loop_(loop), settings_(within_limits(std::move(settings))), owner_(owner),
      connection_(loop, *this, settings_.receive_buffer, std::min<size_t>(256, 2 * settings_.max_commands + 16)), step_timer_(loop, [this] { on_step_timer(); }),
      tick_(loop, [this] { on_tick(); }), fail_later_(loop, [this] { fail_requests(); }), tasks_(settings_.max_commands) {
    requeue_all();                              // makes the free list
}

Session::~Session() = default;

void Session::start() {
    down_since_ms_ = loop_.now_ms();
    resolve();
}

void Session::start_on(Fd socket) {
    adopted_ = true;
    down_since_ms_ = loop_.now_ms();
    login_host_ = settings_.host;
    if (auto adopted = connection_.adopt(std::move(socket)); !adopted) {
        last_failure_ = {SessionEnd::Kind::connect, adopted.error().text(), {}};
        state_ = State::waiting;
        return step_timer_.arm(0);
    }
    begin_login();
}

// ---- reaching the target

void Session::resolve() {
    login_host_ = settings_.host;
    login_port_ = settings_.port;
    redirects_ = 0;
    state_ = State::resolving;
    io::ResolveOptions options;
    options.timeout_ms = settings_.connect_timeout_ms;
    lookup_ = std::make_unique<io::Lookup>(loop_, login_host_, login_port_, options,
                                           [this](Result<io::Addresses> result) { resolved(std::move(result)); });
}

void Session::resolved(Result<io::Addresses> result) {
    if (!result) return attempt_failed({SessionEnd::Kind::resolve, result.error().text(), {}});
    addresses_ = std::move(*result);
    address_ = 0;
    connect_next();
}

void Session::connect_next() {
    for (; address_ < addresses_.size(); address_++) {
        auto started = connection_.connect(addresses_[address_], settings_.connect);
        if (started) {
            state_ = State::connecting;
            return step_timer_.arm(settings_.connect_timeout_ms);
        }
        last_failure_ = {SessionEnd::Kind::connect, started.error().text(), {}, started.error().code};
    }
    attempt_failed(last_failure_);
}

void Session::connected() { begin_login(); }

void Session::begin_login() {
    state_ = State::login;
    login_ = std::make_unique<Login>(settings_.login);
    step_timer_.arm(settings_.login_timeout_ms);
    login_step(login_->start());
}

void Session::login_step(Login::Step step) {
    if (step == Login::Step::send) {
        connection_.put(login_->header(), login_->data());
        return;
    }
    if (step == Login::Step::done) return enter_full_feature();
    const LoginFailure failure = login_->failure();
    connection_.close();
    if (failure.kind == LoginFailure::Kind::redirected && !adopted_ && redirects_ < settings_.max_redirects) {
        redirects_++;
        if (failure.permanent) {
            settings_.host = failure.host;
            settings_.port = failure.port;
        }
        state_ = State::resolving;
        io::ResolveOptions options;
        options.timeout_ms = settings_.connect_timeout_ms;
        lookup_ = std::make_unique<io::Lookup>(loop_, failure.host, failure.port, options,
                                               [this](Result<io::Addresses> result) { resolved(std::move(result)); });
        return;
    }
    if (!adopted_ && drop_misread_hash(settings_.login, failure)) return connect_next();
    std::string why = failure.kind == LoginFailure::Kind::redirected ? "too many redirections" : failure.text;
    attempt_failed({SessionEnd::Kind::login, "login: " + why, failure});
}

void Session::login_pdu(const wire::Bhs& header, Bytes data) {
    // The text of our last request is still borrowed; an answer before it has been sent is no answer.
    if (connection_.sent_count() != connection_.put_count()) return broken("the target answers before it was asked", 0);
    login_step(login_->feed(wire::header_cast<wire::LoginResponse>(header), data));
}

void Session::enter_full_feature() {
    success_ = login_->success();
    login_.reset();
    step_timer_.cancel();
    const nego::Params& p = success_.params;
    connection_.full_feature(p.header_digest, p.data_digest, std::max<uint32_t>(p.max_recv_data_segment, Connection::scratch_size));
    sink_.reset();
    cmd_sn_ = success_.cmd_sn;
    exp_cmd_sn_ = success_.exp_cmd_sn;
    max_cmd_sn_ = success_.max_cmd_sn;
    exp_stat_sn_ = success_.exp_stat_sn;
    state_ = State::up;
    if (was_up_) reconnects_++;
    was_up_ = true;
    draining_ = logout_sent_ = ping_sent_ = false;
    seen_received_ = connection_.received();
    last_received_ms_ = loop_.now_ms();
    up_since_ms_ = shut_since_ms_ = loop_.now_ms();
    tick_.arm(busy_tick_ms);
    owner_.session_up(*this);
    pump();
}

// ---- losing it

void Session::broken(const char* why, int error) {
    if (state_ == State::connecting) {
        last_failure_ = {SessionEnd::Kind::connect, line("connect to %s: %s", addresses_[address_].portal().c_str(), error ? std::strerror(error) : why), {}, error};
        address_++;
        return connect_next();
    }
    const bool in_login = state_ == State::login;
    const std::string text = line("%s%s%s%s", in_login ? "during login: " : "", why, error ? ": " : "", error ? std::strerror(error) : "");
    if (in_login) {
        connection_.close();
        return attempt_failed({SessionEnd::Kind::lost, text, {}, EPROTO});
    }
    lost(text);
}

void Session::lost(const std::string& why) {
    if (state_ != State::up) return;
    connection_.close();
    tick_.cancel();
    if (logout_wanted_) return end({SessionEnd::Kind::logout, "", {}});
    state_ = State::waiting;
    requeue_all();
    if (state_ != State::waiting) return;       // abandoned by a completion
    last_failure_ = {SessionEnd::Kind::lost, why, {}};
    if (adopted_ || settings_.replacement_timeout_ms == 0) return end(last_failure_);
    // Logged in and lost again without one answer: still the same failure, and not to be repeated at full speed.
    const uint64_t now = loop_.now_ms();
    const bool worked = progress_ || now - up_since_ms_ >= settled_ms;
    progress_ = false;
    if (worked) {
        failures_ = 0;
        down_since_ms_ = now;
    } else if (now - down_since_ms_ >= settings_.replacement_timeout_ms) {
        return end(last_failure_);
    }
    log::debug("session with %s lost: %s", settings_.login.offers.target_name.c_str(), why.c_str());
    owner_.session_down(*this, why);
    if (state_ != State::waiting) return;
    // §7.4.4: DefaultTime2Wait seconds before the session is reinstated.
    const uint64_t wait = std::max<uint64_t>(uint64_t(success_.params.default_time2wait) * 1000, worked ? 0 : back_off());
    step_timer_.arm(std::min(wait, settings_.replacement_timeout_ms));
}

uint64_t Session::back_off() { return std::min(longest_backoff_ms, first_backoff_ms << std::min(failures_++, 10u)); }

// One way to the target did not work out.
void Session::attempt_failed(SessionEnd why) {
    step_timer_.cancel();
    last_failure_ = std::move(why);
    if (adopted_ || logout_wanted_ || !was_up_) return end(last_failure_);
    const uint64_t down = loop_.now_ms() - down_since_ms_;
    if (down >= settings_.replacement_timeout_ms) return end(last_failure_);
    state_ = State::waiting;
    step_timer_.arm(std::min(back_off(), settings_.replacement_timeout_ms - down));
}

void Session::on_step_timer() {
    switch (state_) {
    case State::connecting:
        connection_.close();
        return broken("connect", ETIMEDOUT);
    case State::login:
        connection_.close();
        return attempt_failed(late());
    case State::waiting: return adopted_ ? end(last_failure_) : resolve();
    case State::up:                             // of a logout
        return logout_wanted_ ? end({SessionEnd::Kind::logout, "", {}}) : lost("the target wished us to log out");
    default: return;
    }
}

void Session::end(SessionEnd why) {
    if (state_ == State::ended) return;
    state_ = State::ended;
    connection_.close();
    lookup_.reset();
    login_.reset();
    step_timer_.cancel();
    tick_.cancel();
    requeue_all();
    fail_requests();
    owner_.session_ended(*this, why);
}

void Session::fail_requests() {
    while (state_ == State::ended && pending_) {
        ScsiRequest& request = *pending_;
        pending_ = request.next_;
        if (!pending_) pending_last_ = nullptr;
        request.outcome = ScsiRequest::Outcome::lost;
        request.done(request);
    }
}

void Session::abandon(const char* why) { end({SessionEnd::Kind::lost, why, {}}); }

void Session::expire() { end(late()); }

SessionEnd Session::late() const {
    SessionEnd end;
    end.kind = SessionEnd::Kind::lost;
    end.code = ETIMEDOUT;
    if (state_ == State::connecting) end.text = line("connect to %s: %s", addresses_[address_].portal().c_str(), std::strerror(ETIMEDOUT));
    else if (state_ == State::resolving) end.text = line("resolve %s: no answer in time", login_host_.c_str());
    else end.text = state_ == State::login ? "during login: no answer in time" : "no answer in time";
    return end;
}

// ---- staying alive

void Session::on_tick() {
    if (state_ != State::up) return;
    const uint64_t now = loop_.now_ms();
    if (connection_.received() != seen_received_) {
        seen_received_ = connection_.received();
        last_received_ms_ = now;
    }
    if (settings_.noop_interval_ms > 0) {
        if (ping_sent_ && last_received_ms_ <= ping_ms_ && now - ping_ms_ >= settings_.noop_timeout_ms) return lost("ping timeout");
        if (!ping_sent_ && now - last_received_ms_ >= settings_.noop_interval_ms) send_ping();
    }
    check_times(now);
    if (state_ != State::up) return;
    uint64_t idle_tick = settings_.noop_interval_ms > 0 ? settings_.noop_interval_ms : 10 * busy_tick_ms;
    tick_.arm(in_flight_ > 0 || ping_sent_ ? std::min(busy_tick_ms, idle_tick) : idle_tick);
}

void Session::send_ping() {
    wire::NopOut h;
    h.opcode |= wire::immediate_bit;
    h.itt = ping_tag;
    h.ttt = wire::reserved_tag;
    h.cmd_sn = cmd_sn_;
    h.exp_stat_sn = exp_stat_sn_;
    if (!connection_.put(h)) return;            // a full queue that does not move: the next tick finds out
    ping_sent_ = true;
    ping_ms_ = loop_.now_ms();
}

// ---- leaving

void Session::logout() {
    if (state_ == State::ended || logout_wanted_) return;
    logout_wanted_ = true;
    if (state_ != State::up) return abandon("logout");
    step_timer_.arm(settings_.login_timeout_ms);
    pump();
}

void Session::send_logout() {
    if (logout_sent_) return;
    wire::LogoutRequest h;
    h.reason = uint8_t(wire::final_bit | uint8_t(wire::LogoutReason::close_session));
    h.itt = logout_tag;
    h.cmd_sn = cmd_sn_;
    h.exp_stat_sn = exp_stat_sn_;
    if (connection_.put(h)) logout_sent_ = true;
}

// The target wishes us gone (§11.9.1): what is under way may finish, then we log out and in again.
void Session::hurry_logout(uint64_t within_ms) {
    if (draining_ || logout_wanted_) return;
    draining_ = true;
    step_timer_.arm(std::max<uint64_t>(within_ms, 1000));
    if (in_flight_ == 0) send_logout();
}

}  // namespace iscsi::initiator

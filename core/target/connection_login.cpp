// The login phase on a connection: Login does the thinking, this sends, waits for an older session of the same I_T nexus to
// end (session reinstatement, RFC 7143 §6.3.5), and makes the session.
#include <cinttypes>

#include "core/base/log.h"
#include "core/io/tcp.h"
#include "core/target/connection.h"

namespace iscsi::target {

bool Connection::login_request(const wire::LoginRequest& request, Bytes data) {
    if (!login_ || reading_paused_) {
        close("Login Request while the last one is being answered");
        return false;
    }
    Login::Reply reply;
    switch (login_->digest(request, data, reply)) {
    case Login::Outcome::more:
        login_send(reply);
        return true;
    case Login::Outcome::refused:
        log::info("login from %s refused (%04x): %s", peer_address_.c_str(), unsigned(reply.header.status), login_->why().c_str());
        login_send(reply);
        close_when_sent_ = true;
        return true;
    case Login::Outcome::complete:
        login_reply_ = std::move(reply);
        return login_complete();
    }
    return false;
}

void Connection::login_send(const Login::Reply& reply) {
    control(reply.header, as_bytes(reply.text), true);
    schedule_pump();
}

// §6.3.5: a login with TSIH 0 and the initiator name, ISID and target of a session that exists takes its place: the old
// one's tasks are aborted and its connections closed before the new one is admitted.
bool Connection::login_complete() {
    if (login_->target()) {
        for (const auto& record : worker_.directory.sessions.of_target(login_->target()->tid())) {
            if (record->initiator != login_->initiator_name() || record->isid != login_->isid()) continue;
            log::info("session %u of %s is reinstated", unsigned(record->sid), record->initiator.c_str());
            record->drop();
            reading_paused_ = true;
            watch();
            if (!reinstating_)
                reinstating_ = std::make_unique<io::Timer>(*worker_.loop, [this] {
                    if (phase_ == Phase::login) login_complete();
                });
            reinstating_->arm(1);       // the old one may live on another loop; it goes as soon as its I/O has come back
            return true;
        }
    }
    if (reading_paused_) resume_reading();
    return enter_full_feature();
}

bool Connection::enter_full_feature() {
    const nego::Params& params = login_->params();
    auto& directory = worker_.directory;
    uint16_t sid = directory.sessions.take_sid();
    if (sid == 0) {
        login_reply_.header.status = uint16_t(wire::LoginStatus::out_of_resources);
        login_reply_.header.flags &= 0x0c;
        login_reply_.text.clear();
        login_send(login_reply_);
        close_when_sent_ = true;
        return true;
    }
    record_ = std::make_shared<ConnectionRecord>();
    record_->cid = cid_ = login_->cid();
    record_->address = peer_address_;
    auto record = std::make_shared<SessionRecord>();
    record->sid = sid;
    record->isid = login_->isid();
    record->initiator = login_->initiator_name();
    record->alias = params.initiator_alias;
    record->connections.push_back(record_);
    if (login_->target()) {
        record->tid = login_->target()->tid();
        record->target = login_->target()->name();
    }
    unsigned depth = login_->target() ? login_->target()->config().max_queue_cmd : 16;
    // The login's CmdSN is that of the first command: Login Requests are immediate (§4.2.2.1).
    auto session = std::make_unique<Session>(worker_, record, login_->target(), params, login_->cmd_sn(), depth);
    if (!session->admit()) return login_complete();     // another loop was faster with a session of this nexus: take its place
    session_ = &worker_.add(std::move(session));
    session_->attach(*this);
    user_ = login_->user();
    login_reply_.header.tsih = sid;
    login_send(login_reply_);
    login_reply_ = {};
    max_xmit_ = params.max_xmit_data_segment;
    reader_.set_max_data(params.max_recv_data_segment);
    wire::Digests digests{params.header_digest, params.data_digest};
    reader_.set_digests(digests);
    digests_after_login_ = digests;     // the login response itself still goes without
    login_.reset();
    phase_ = Phase::full_feature;
    timer_.cancel();
    last_heard_ms_ = worker_.loop->now_ms();
    if (session_->discovery()) timer_.arm(worker_.options.discovery_timeout_s * uint64_t(1000));
    if (session_->target) {
        io::choose_congestion_control(socket_.get(), worker_.options.congestion);
        if (int interval = session_->target->config().nop_interval; interval > 0) timer_.arm(uint64_t(interval) * 1000);
        log::debug("session %u: %s (%s) logged in to %s", unsigned(sid), record->initiator.c_str(), peer_address_.c_str(),
                   record->target.c_str());
        if (session_->target->deleted) {
            close("target was deleted during login");
            return false;
        }
    }
    return true;
}

}  // namespace iscsi::target

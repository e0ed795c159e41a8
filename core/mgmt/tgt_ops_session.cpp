// tgtadm --mode session and connection, statistics, and the answers that wait for sessions to end.
#include <algorithm>

#include "core/base/format.h"
#include "core/mgmt/tgt_ops.h"

namespace iscsi::mgmt {
namespace {

using target::ConnectionRecord;
using target::LunCounters;
using target::SessionRecord;

std::vector<std::shared_ptr<ConnectionRecord>> connections_of(SessionRecord& s) {
    std::lock_guard lock(s.mutex);
    return s.connections;
}

// What the session did on this LUN; nullptr: nothing yet.
std::shared_ptr<LunCounters> counters_of(SessionRecord& s, uint64_t lun) {
    std::lock_guard lock(s.mutex);
    for (const auto& [number, counters] : s.luns)
        if (number == lun) return counters;
    return nullptr;
}

constexpr const char* io_header =
    "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs\n";
constexpr const char* connection_header =
    "sid cid rxdata_octets txdata_octets dataout_pdus datain_pdus cmd_pdus rsp_pdus\n";

using ull = unsigned long long;

void add_io_row(std::string& out, Json& json, int tid, uint64_t lun, SessionRecord& s) {
    static const LunCounters none;
    const auto held = counters_of(s, lun);
    const LunCounters& c = held ? *held : none;
    append(out, "%3d %3llu %3u %12llu %6llu %12llu %6llu %12llu %6llu %12llu %6llu %4llu\n", tid, ull(lun), unsigned(s.sid),
           ull(c.read_submitted_bytes), ull(c.read_submitted), ull(c.read_done_bytes), ull(c.read_done), ull(c.write_submitted_bytes),
           ull(c.write_submitted), ull(c.write_done_bytes), ull(c.write_done), ull(c.errors));
    json.object().field("tid", tid).field("lun", lun).field("sid", int(s.sid)).field("initiator", s.initiator);
    auto count = [&](const char* name, uint64_t n) { json.field(name, n); };
    count("read_submitted_bytes", c.read_submitted_bytes);
    count("read_submitted", c.read_submitted);
    count("read_done_bytes", c.read_done_bytes);
    count("read_done", c.read_done);
    count("write_submitted_bytes", c.write_submitted_bytes);
    count("write_submitted", c.write_submitted);
    count("write_done_bytes", c.write_done_bytes);
    count("write_done", c.write_done);
    count("errors", c.errors);
    count("busy_us", c.busy_us);
    count("in_flight", c.in_flight);
    json.end();
}

void add_connection_row(std::string& out, Json& json, const SessionRecord& s, const ConnectionRecord& c) {
    append(out, "%3u %3u %13llu %13llu %12llu %11llu %8llu %8llu\n", unsigned(s.sid), unsigned(c.cid), ull(c.rx_octets), ull(c.tx_octets),
           ull(c.data_out_pdus), ull(c.data_in_pdus), ull(c.command_pdus), ull(c.response_pdus));
    json.object().field("sid", int(s.sid)).field("cid", int(c.cid)).field("address", c.address);
    json.field("rx_octets", uint64_t(c.rx_octets)).field("tx_octets", uint64_t(c.tx_octets));
    json.field("data_out_pdus", uint64_t(c.data_out_pdus)).field("data_in_pdus", uint64_t(c.data_in_pdus));
    json.field("command_pdus", uint64_t(c.command_pdus)).field("response_pdus", uint64_t(c.response_pdus)).end();
}

std::shared_ptr<SessionRecord> find_session(const target::Directory& directory, uint64_t sid) {
    return sid <= 0xffff ? directory.sessions.find(uint16_t(sid)) : nullptr;
}

}  // namespace

TgtAnswer TgtOps::stat(const std::vector<std::shared_ptr<target::Target>>& targets, const uint64_t* only_lun, bool as_json) const {
    std::string out = io_header;
    Json json;
    json.array();
    for (const auto& t : targets) {
        const Sessions sessions = directory_.sessions.of_target(t->tid());
        for (const auto& [lun, unit] : *t->router.table()) {
            if (only_lun && lun != *only_lun) continue;
            for (const auto& s : sessions) add_io_row(out, json, t->tid(), lun, *s);
        }
    }
    json.end();
    return {TgtCode::ok, as_json ? json.take() : out};
}

TgtAnswer TgtOps::session_op(const TgtRequest& r) {
    if (r.op != TgtOp::stat) return refuse(TgtCode::invalid);
    const auto s = find_session(directory_, r.sid);
    if (!s) return refuse(TgtCode::no_session);
    std::string out = io_header;
    Json json;
    json.object().key("luns").array();
    if (auto t = directory_.find(s->tid)) {
        const auto table = t->router.table();
        for (auto row = table->rbegin(); row != table->rend(); ++row) add_io_row(out, json, t->tid(), row->first, *s);
    }
    json.end().key("connections").array();
    append(out, "\n%s", connection_header);
    for (const auto& c : connections_of(*s)) add_connection_row(out, json, *s, *c);
    json.end().end();
    return {TgtCode::ok, r.json ? json.take() : out};
}

TgtAnswer TgtOps::connection_op(const TgtRequest& r) {
    if (r.op == TgtOp::show) {
        const auto t = directory_.find(r.tid);
        if (!t) return refuse(TgtCode::no_target);
        return {TgtCode::ok, show_connections(*t, r.json)};
    }
    if (r.op != TgtOp::stat) return refuse(TgtCode::invalid);
    const auto s = find_session(directory_, r.sid);
    if (!s) return refuse(TgtCode::no_session);
    std::string out = connection_header;
    Json json;
    json.array();
    bool found = false;
    for (const auto& c : connections_of(*s))
        if (c->cid == r.cid) add_connection_row(out, json, *s, *c), found = true;
    if (!found) return refuse(TgtCode::no_connection);
    json.end();
    return {TgtCode::ok, r.json ? json.take() : out};
}

std::string TgtOps::show_connections(const target::Target& t, bool as_json) const {
    Sessions sessions = directory_.sessions.of_target(t.tid());
    std::reverse(sessions.begin(), sessions.end());         // newest first
    std::string out;
    Json json;
    json.array();
    for (const auto& s : sessions) {
        append(out, "Session: %u\n", unsigned(s->sid));
        for (const auto& c : connections_of(*s)) {
            append(out, "    Connection: %u\n        Initiator: %s\n        IP Address: %s\n", unsigned(c->cid), s->initiator.c_str(),
                   c->address.c_str());
            json.object().field("sid", int(s->sid)).field("cid", int(c->cid)).field("initiator", s->initiator);
            json.field("address", c->address).end();
        }
    }
    json.end();
    return as_json ? json.take() : out;
}

// Without force a target with sessions stays. With force it is gone at once, whole: nobody can log in any more, then its
// sessions are dropped, and the answer comes when the last of them is gone.
void TgtOps::delete_target(const TgtRequest& r, std::shared_ptr<TgtReply> reply) {
    const auto t = directory_.find(r.tid);
    if (!t) return reply->answer(refuse(TgtCode::no_target));
    if (!r.force && !directory_.sessions.of_target(r.tid).empty()) return reply->answer(refuse(TgtCode::target_active));
    directory_.remove(r.tid);
    forget_target(r.tid);
    Pending pending;
    pending.sessions = directory_.sessions.of_target(r.tid);
    pending.reply = std::move(reply);
    for (const auto& s : pending.sessions)
        if (s->drop) s->drop();
    wait_for(std::move(pending));
}

void TgtOps::delete_connection(const TgtRequest& r, std::shared_ptr<TgtReply> reply) {
    if (!directory_.find(r.tid)) return reply->answer(refuse(TgtCode::no_target));
    const auto s = find_session(directory_, r.sid);
    if (!s || s->tid != r.tid) return reply->answer(refuse(TgtCode::no_session));
    const auto connections = connections_of(*s);
    const auto c = std::find_if(connections.begin(), connections.end(), [&](const auto& record) { return record->cid == r.cid; });
    if (c == connections.end()) return reply->answer(refuse(TgtCode::no_connection));
    if (s->drop_connection) s->drop_connection(uint16_t(r.cid));
    Pending pending;
    pending.sessions = {s};
    pending.cid = int(r.cid);
    pending.reply = std::move(reply);
    wait_for(std::move(pending));
}

void TgtOps::wait_for(Pending pending) {
    pending.deadline = io::Loop::clock_ms() + options_.drop_ms;
    pending_.push_back(std::move(pending));
    check_pending();
}

void TgtOps::check_pending() {
    const Sessions running = directory_.sessions.all();
    auto remains = [&](const std::shared_ptr<SessionRecord>& s, int cid) {
        if (std::find(running.begin(), running.end(), s) == running.end()) return false;
        if (cid < 0) return true;
        const auto connections = connections_of(*s);
        return std::any_of(connections.begin(), connections.end(), [&](const auto& c) { return c->cid == cid; });
    };
    const uint64_t now = io::Loop::clock_ms();
    for (auto p = pending_.begin(); p != pending_.end();) {
        std::erase_if(p->sessions, [&](const auto& s) { return !remains(s, p->cid); });
        if (!p->sessions.empty() && now < p->deadline) {
            ++p;
            continue;
        }
        const TgtCode code = p->sessions.empty() ? TgtCode::ok : TgtCode::target_active;
        auto reply = std::move(p->reply);
        p = pending_.erase(p);
        reply->answer(refuse(code));
    }
    // The registry tells of sessions that end; a connection that leaves a session of several is seen by looking again.
    if (!pending_.empty() && !check_timer_.armed()) check_timer_.arm(20);
}

}  // namespace iscsi::mgmt

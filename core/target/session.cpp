#include "core/target/session.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "core/base/log.h"
#include "core/target/connection.h"

namespace iscsi::target {

Session::Session(Worker& w, std::shared_ptr<SessionRecord> r, std::shared_ptr<Target> t, nego::Params p, uint32_t first_cmd_sn,
                 unsigned queue_depth)
    : worker(w), record(std::move(r)), target(std::move(t)), params(std::move(p)), window(first_cmd_sn, std::max(1u, queue_depth)),
      handle_(std::make_shared<Session*>(this)) {
    if (discovery()) return;
    char isid[24];
    std::snprintf(isid, sizeof isid, ",i,0x%012" PRIx64, record->isid);
    nexus.id = uint64_t(record->sid);
    nexus.initiator_name = record->initiator;
    nexus.initiator_port = record->initiator + isid;
    std::snprintf(isid, sizeof isid, ",t,0x%04x", unsigned(target->config().limits.portal_group_tag));
    nexus.target_port = target->name() + isid;
}

bool Session::admit() {
    if (discovery()) return true;
    publish();
    if (!worker.directory.sessions.add(record)) return false;
    luns();
    if (worker.options.on_event) worker.options.on_event("login", *record);
    return true;
}

bool same_unit(uint64_t a, uint64_t b) {
    if (a == b) return true;
    auto number = scsi::Router::decode_lun(a);
    return number && number == scsi::Router::decode_lun(b);
}

Session::~Session() { *handle_ = nullptr; }

// Other threads ask for things through the record; they arrive by post() and find the session gone if it is.
void Session::publish() {
    auto on_loop = [loop = worker.loop.get(), handle = handle_](auto act) {
        loop->post([handle, act] {
            if (*handle) act(**handle);
        });
    };
    record->drop = [on_loop] { on_loop([](Session& s) { s.end("dropped"); }); };
    record->drop_connection = [on_loop](uint16_t cid) {
        on_loop([cid](Session& s) {
            for (Connection* c : s.connections)
                if (c->cid() == cid) return c->close("dropped by the administrator");
        });
    };
    record->notify = [on_loop](wire::AsyncEvent event, uint16_t seconds) {
        on_loop([event, seconds](Session& s) {
            // §11.9.1: a logout request says how long in Parameter3; the drop events name the connection and when to come back.
            const bool logout = event == wire::AsyncEvent::logout_request;
            for (Connection* c : s.connections) c->async_message(event, logout ? 0 : c->cid(), logout ? 0 : seconds, logout ? seconds : 0);
        });
    };
    record->abort_tasks = [loop = worker.loop.get(), handle = handle_](std::optional<uint64_t> lun, std::function<void()> done) {
        loop->post([handle, lun, done] {
            if (*handle)
                (*handle)->abort_all(lun ? &*lun : nullptr, done);
            else
                done();
        });
    };
    nexus.abort_tasks = record->abort_tasks;
}

Task* Session::find(uint32_t itt) {
    for (Task* t = table_[bucket(itt)]; t; t = t->hash_next)
        if (t->itt == itt) return t;
    return nullptr;
}

bool Session::has_tasks(uint64_t lun) const {
    for (Task* head : table_)
        for (Task* t = head; t; t = t->hash_next)
            if (same_unit(t->command.lun, lun)) return true;
    return false;
}

bool Session::has_ordered_tasks(uint64_t lun) const {
    if (ordered_count_ == 0) return false;
    for (Task* head : table_)
        for (Task* t = head; t; t = t->hash_next)
            if (t->command.attribute == scsi::TaskAttribute::ordered && same_unit(t->command.lun, lun)) return true;
    return false;
}

void Session::add(std::unique_ptr<Task> owner) {
    Task* task = owner.release();       // the table owns it from here
    Task*& head = table_[bucket(task->itt)];
    task->hash_next = head;
    head = task;
    task_count_++;
    ordered_count_ += task->command.attribute == scsi::TaskAttribute::ordered;
}

std::unique_ptr<Task> Session::unlink(Task& task) {
    for (Task** place = &table_[bucket(task.itt)]; *place; place = &(*place)->hash_next) {
        if (*place != &task) continue;
        *place = task.hash_next;
        task.hash_next = nullptr;
        task_count_--;
        ordered_count_ -= task.command.attribute == scsi::TaskAttribute::ordered;
        if (task.connection) task.connection->task_ended();
        if (task.counters) task.counters->in_flight.store(task.counters->in_flight.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
        return std::unique_ptr<Task>(&task);
    }
    return nullptr;
}

void Session::retire(Task& task) {
    answered_--;
    if (auto owner = unlink(task)) worker.give_back(std::move(owner));
}

void Session::abort(Task& task, std::function<void()> done) {
    if (task.connection) task.connection->forget(task);
    auto owner = unlink(task);
    task.aborted = true;
    task.connection = nullptr;
    if (task.in_flight > 0) {
        aborted_.push_back(std::move(owner));
        if (done) waits_.push_back({{&task}, std::move(done)});
        return;
    }
    worker.give_back(std::move(owner));
    if (done) done();
}

void Session::abort_all(const uint64_t* lun, std::function<void()> done) {
    std::vector<Task*> tasks;
    for (Task* head : table_)
        for (Task* t = head; t; t = t->hash_next)
            if (!lun || same_unit(t->command.lun, *lun)) tasks.push_back(t);
    for (Task* t : tasks) abort(*t, nullptr);
    for (Connection* c : connections) c->drop_waiting(lun);
    if (!done) return;
    Wait wait;
    for (const auto& t : aborted_)
        if (!lun || same_unit(t->command.lun, *lun)) wait.tasks.push_back(t.get());
    if (wait.tasks.empty()) return done();
    wait.done = std::move(done);
    waits_.push_back(std::move(wait));
}

void Session::returned(Task& task) {
    if (task.in_flight > 0) return;
    for (Wait& w : waits_) std::erase(w.tasks, &task);
    auto place = std::find_if(aborted_.begin(), aborted_.end(), [&](const auto& t) { return t.get() == &task; });
    if (place != aborted_.end()) {
        worker.give_back(std::move(*place));
        aborted_.erase(place);
    }
    check_waits();
}

void Session::check_waits() {
    std::vector<std::function<void()>> ready;
    std::erase_if(waits_, [&](Wait& w) {
        if (!w.tasks.empty()) return false;
        ready.push_back(std::move(w.done));
        return true;
    });
    for (auto& done : ready) done();
    if (ending_ && aborted_.empty()) worker.release(*this);
}

const scsi::LunTable& Session::luns() {
    uint64_t now = target->router.generation();
    if (now != luns_generation_) {
        auto fresh = target->router.table();
        for (const auto& [number, unit] : *fresh) {
            auto known = luns_ ? luns_->find(number) : fresh->end();
            if (!luns_ || known == luns_->end() || known->second != unit) unit->nexus_arrived(nexus);
        }
        if (luns_)
            for (const auto& [number, unit] : *luns_) {
                auto still = fresh->find(number);
                if (still == fresh->end() || still->second != unit) unit->nexus_lost(nexus);
            }
        luns_ = std::move(fresh);
        luns_generation_ = now;
    }
    return *luns_;
}

LunCounters* Session::counters(uint64_t lun) {
    if (!counters_ || counters_lun_ != lun) {
        auto number = scsi::Router::decode_lun(lun);
        if (!number || !luns().count(*number)) return nullptr;      // an initiator may ask for any number
        counters_ = record->counters(*number).get();                // the record keeps it as long as the session lives
        counters_lun_ = lun;
    }
    return counters_;
}

void Session::detach(Connection& connection) {
    std::erase(connections, &connection);
    {
        std::lock_guard lock(record->mutex);
        std::erase_if(record->connections, [&](const auto& c) { return c->cid == connection.cid(); });
    }
    if (connections.empty()) end(nullptr);
}

void Session::end(const char* why) {
    if (ending_) return;
    ending_ = true;
    while (!connections.empty()) connections.back()->close(why);    // comes back through detach
    abort_all(nullptr, nullptr);
    if (aborted_.empty()) worker.release(*this);
}

}  // namespace iscsi::target

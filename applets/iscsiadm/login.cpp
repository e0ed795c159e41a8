// Login and logout through iscsid: all requests go out at once and are answered side by side; what is printed stays in the
// order of the requests.
#include <algorithm>
#include <chrono>

#include "applets/iscsiadm/iscsiadm.h"

namespace iscsi::applets::iscsiadm {
namespace {

using Clock = mgmt::IscsidClient::Clock;
using std::chrono::milliseconds;

constexpr milliseconds logout_limit{60'000};
constexpr milliseconds longest_wait{600'000};
constexpr milliseconds least_grace{500};

struct Job {
    const Record* node;
    bool multiple = false;
    uint32_t tag = 0;
    bool sent = false, answered = false;
    InitiatorError error = InitiatorError::transport_timeout;      // of one that was given up
    std::string message;
};

// How long iscsid may take: its retries of connect and login, then the SCSI scan.
milliseconds patience(const Record& node) {
    int64_t tries = std::clamp(node.number(Key::initial_login_retry_max), 1, 1000);
    int64_t seconds = std::clamp(node.number(Key::login_timeout), 1, 600);
    return std::min(longest_wait, milliseconds(tries * seconds * 1000 + 30'000));
}

InitiatorError send_login(mgmt::IscsidClient& client, Job& job, bool wait) {
    auto ask = mgmt::request(mgmt::IscsidRequest::login);
    ask.add("record", job.node->to_file());
    ask.add("wait", uint64_t(wait));
    ask.add("multiple", uint64_t(job.multiple));
    ask.add("time_limit_ms", uint64_t(patience(*job.node).count()));
    auto tag = client.send(std::move(ask));
    if (!tag) return job.error = InitiatorError(tag.error().code);
    job.tag = *tag;
    job.sent = true;
    return InitiatorError::none;
}

// The job that it answers, or nothing.
const Job* take_answer(std::vector<Job>& jobs, const mgmt::IscsidMessage& answer) {
    auto job = std::find_if(jobs.begin(), jobs.end(), [&](const Job& j) { return j.sent && !j.answered && j.tag == answer.tag; });
    if (job == jobs.end()) return nullptr;
    job->answered = true;
    job->error = answer.error();
    job->message = std::string(answer.get("message").value_or(""));
    return &*job;
}

// Takes answers until all are there. A login that succeeded next to others that hang means the network works: those get a
// moment more and are left to iscsid, which goes on trying. So a dead portal of a multipath target costs nothing.
void collect(mgmt::IscsidClient& client, std::vector<Job>& jobs) {
    const auto start = Clock::now();
    auto deadline = start;
    size_t open = 0;
    for (const Job& job : jobs) {
        if (!job.sent) continue;
        open++;
        deadline = std::max(deadline, start + patience(*job.node) + milliseconds(5000));
    }
    while (open > 0) {
        auto answer = client.receive(deadline);
        if (!answer) {
            auto code = InitiatorError(answer.error().code);
            for (Job& job : jobs)
                if (job.sent && !job.answered && code != InitiatorError::request_timed_out) job.error = code;
            return;
        }
        const Job* job = take_answer(jobs, *answer);
        if (!job) continue;
        open--;
        if (job->error == InitiatorError::none) {
            auto took = Clock::now() - start;
            deadline = std::min(deadline, Clock::now() + std::max<Clock::duration>(least_grace, 2 * took));
        }
    }
}

int run_logins(Tool& tool, std::vector<Job>& jobs) {
    for (const Job& job : jobs)
        tool.print("Logging in to %s%s\n", quoted(*job.node).c_str(), job.multiple ? " (multiple)" : "");
    tool.flush();
    InitiatorError why = InitiatorError::none;
    mgmt::IscsidClient* client = tool.daemon(true, &why);
    bool wait = !tool.request.no_wait;
    if (client)
        for (Job& job : jobs)
            if (send_login(*client, job, wait) != InitiatorError::none) break;
    if (client) collect(*client, jobs);
    int first = 0;
    for (Job& job : jobs) {
        if (!client) job.error = why;
        if (job.error == InitiatorError::none) {
            if (wait) tool.print("Login to %s successful.\n", quoted(*job.node).c_str());
            continue;
        }
        tool.error("Could not login to %s.", quoted(*job.node).c_str());
        tool.report(job.error);
        if (!first) first = int(job.error);
    }
    tool.flush();
    return first;
}

config::NodeFilter exactly(const Record& node) {
    config::NodeId id = config::id_of(node);
    return {id.target, id.address, id.iface, id.port};
}

}  // namespace

int login_nodes(Tool& tool, const std::vector<Record>& nodes, bool more, bool closing_line) {
    const auto sessions = list_sessions(tool);
    int first = 0;
    std::vector<Job> jobs, leading;
    for (const Record& node : nodes) {
        auto filter = exactly(node);
        int present = int(std::count_if(sessions.begin(), sessions.end(), [&](const auto& s) { return filter.matches(id_of(s)); }));
        int wanted = more ? present + 1 : std::clamp(node.number(Key::nr_sessions), 1, 1024);
        if (present >= wanted) {
            tool.error("%s: %d session%s requested, but %d already present.", node.text(Key::iface_name).c_str(), wanted,
                       wanted == 1 ? "" : "s", present);
            if (!first) first = int(InitiatorError::session_exists);
            continue;
        }
        auto& list = node.yes(Key::node_leading_login) && !more ? leading : jobs;
        for (int i = present; i < wanted; i++) list.push_back({&node, i > 0});
    }
    if (!jobs.empty())
        if (int code = run_logins(tool, jobs); !first) first = code;
    // leading_login: the records of one target are tried in turn until one gets in
    while (!leading.empty()) {
        const std::string target = leading.front().node->text(Key::node_name);
        auto same = [&](const Job& j) { return j.node->text(Key::node_name) == target; };
        int code = 0;
        for (Job& job : leading) {
            if (!same(job)) continue;
            std::vector<Job> one{job};
            if (code = run_logins(tool, one); code == 0) break;
        }
        if (!first) first = code;
        std::erase_if(leading, same);
    }
    if (first && closing_line) tool.error("Could not log into all portals");
    return first;
}

int logout_sessions(Tool& tool, const std::vector<kernel::SessionInfo>& sessions) {
    if (sessions.empty()) {
        tool.error("No matching sessions found");
        return int(InitiatorError::no_objects_found);
    }
    for (const auto& s : sessions) tool.print("Logging out of session %s\n", quoted(s).c_str());
    tool.flush();
    InitiatorError why = InitiatorError::none;
    mgmt::IscsidClient* client = tool.daemon(true, &why);
    std::vector<Job> jobs(sessions.size());
    for (size_t i = 0; client && i < sessions.size(); i++) {
        auto ask = mgmt::request(mgmt::IscsidRequest::logout);
        ask.add("sid", uint64_t(sessions[i].sid));
        ask.add("force", uint64_t(tool.request.force));
        ask.add("time_limit_ms", uint64_t(logout_limit.count()));
        auto tag = client->send(std::move(ask));
        jobs[i].error = tag ? InitiatorError::request_timed_out : InitiatorError(tag.error().code);
        if (tag) jobs[i].tag = *tag, jobs[i].sent = true;
    }
    const auto deadline = Clock::now() + logout_limit + milliseconds(5000);
    for (size_t open = size_t(std::count_if(jobs.begin(), jobs.end(), [](const Job& j) { return j.sent; })); client && open > 0;) {
        auto answer = client->receive(deadline);
        if (!answer) {
            for (Job& j : jobs)
                if (j.sent && !j.answered) j.error = InitiatorError(answer.error().code);
            break;
        }
        if (take_answer(jobs, *answer)) open--;
    }
    int first = 0;
    for (size_t i = 0; i < sessions.size(); i++) {
        if (!client) jobs[i].error = why;
        if (jobs[i].error == InitiatorError::none) {
            tool.print("Logout of %s successful.\n", quoted(sessions[i]).c_str());
            continue;
        }
        tool.error("Could not logout of %s.", quoted(sessions[i]).c_str());
        tool.report(jobs[i].error);
        if (jobs[i].error == InitiatorError::busy && !jobs[i].message.empty())
            tool.error("%s; unmount it, or log out with --force", jobs[i].message.c_str());
        if (!first) first = int(jobs[i].error);
    }
    if (first) tool.error("Could not logout of all requested sessions");
    return first;
}

}  // namespace iscsi::applets::iscsiadm

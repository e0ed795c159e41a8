#include "core/mgmt/tgt_ops.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/base/format.h"
#include "core/base/log.h"

namespace iscsi::mgmt {

TgtOps::TgtOps(io::Loop& loop, target::Directory& directory, TgtDaemon& daemon, const Options& options)
    : loop_(loop), directory_(directory), daemon_(daemon), options_(options), check_timer_(loop, [this] { check_pending(); }),
      alive_(std::make_shared<TgtOps*>(this)) {
    std::weak_ptr<TgtOps*> weak = alive_;
    io::Loop* home = &loop;
    watch_ = directory_.sessions.watch([weak, home] {
        home->post([weak] {
            if (auto self = weak.lock()) (*self)->check_pending();
        });
    });
}

TgtOps::~TgtOps() { directory_.sessions.unwatch(watch_); }

void TgtOps::handle(const TgtRequest& r, std::shared_ptr<TgtReply> reply) {
    if (TgtCode code = check_driver(r); code != TgtCode::ok) return reply->answer(refuse(code));
    if (r.mode == TgtMode::target && r.op == TgtOp::remove) return delete_target(r, std::move(reply));
    if (r.mode == TgtMode::connection && r.op == TgtOp::remove) return delete_connection(r, std::move(reply));
    if (r.mode == TgtMode::system && r.op == TgtOp::remove) {
        if (!directory_.empty()) return reply->answer(refuse(TgtCode::invalid));
        return reply->answer({}, [this] { daemon_.stop(); });
    }
    reply->answer(carry_out(r));
}

// Everything but the drivers themselves and the system needs a driver that runs. There is one; iSER, which tgt lists, is not.
TgtCode TgtOps::check_driver(const TgtRequest& r) const {
    if (!r.lld.empty() && r.lld != "iscsi" && r.lld != "iser") return TgtCode::no_driver;
    if (r.mode == TgtMode::lld) return TgtCode::ok;
    if (r.lld == "iser") return TgtCode::no_driver;
    if (r.mode != TgtMode::system && !driver_running_) return TgtCode::no_driver;
    return TgtCode::ok;
}

TgtAnswer TgtOps::carry_out(const TgtRequest& r) {
    switch (r.mode) {
    case TgtMode::system: return system_op(r);
    case TgtMode::target: return target_op(r);
    case TgtMode::logicalunit: return lun_op(r);
    case TgtMode::portal: return portal_op(r);
    case TgtMode::lld: return lld_op(r);
    case TgtMode::session: return session_op(r);
    case TgtMode::connection: return connection_op(r);
    case TgtMode::account: return account_op(r);
    }
    return refuse(TgtCode::invalid);
}

TgtAnswer TgtOps::system_op(const TgtRequest& r) {
    switch (r.op) {
    case TgtOp::show: return {TgtCode::ok, r.config ? dump() : show_system(r.json)};
    case TgtOp::stat: return stat(directory_.targets(), nullptr, r.json);
    case TgtOp::update: return system_update(r);
    default: return refuse(TgtCode::invalid);
    }
}

TgtAnswer TgtOps::system_update(const TgtRequest& r) {
    const TgtText text = decode_tgt_text(r);
    if (!text.name || !text.value) return refuse(TgtCode::invalid);
    const std::string &name = *text.name, &value = *text.value;
    // Two words, one of which turns something on.
    auto either = [&](const char* yes, const char* no, auto set) {
        if (value != yes && value != no) return refuse(TgtCode::invalid);
        set(value == yes);
        return TgtAnswer{};
    };
    if (name == "State")
        return either("ready", "offline", [&](bool b) { directory_.state = b ? target::SystemState::ready : target::SystemState::offline; });
    if (name == "debug")
        return either("on", "off", [&](bool b) {
            debug_ = b;
            log::set_level(b ? log::Level::debug : log::Level::info);
        });
    IsnsSettings wanted = isns_;
    if (name == "iSNS") {
        if (value != "On" && value != "Off") return refuse(TgtCode::invalid);
        wanted.on = value == "On";
    } else if (name == "iSNSServerIP") {
        wanted.server = value;
    } else if (name == "iSNSServerPort") {
        char* end;
        long port = std::strtol(value.c_str(), &end, 0);
        if (value.empty() || *end || port < 1 || port > 65535) return refuse(TgtCode::invalid);
        wanted.port = int(port);
    } else if (name == "iSNSAccessControl") {
        wanted.access_control = value == "On";
    } else {
        return refuse(TgtCode::invalid);
    }
    if ((wanted.on || isns_.on) && !daemon_.configure_isns(wanted)) return refuse(TgtCode::unsupported);
    isns_ = wanted;
    return {};
}

namespace {
constexpr const char* backing_stores[] = {"null", "ram", "rdwr (bsoflags sync:direct)", "aio"};
constexpr const char* device_types[] = {"disk", "controller"};
}

std::string TgtOps::show_system(bool as_json) const {
    const char* state = directory_.state == target::SystemState::ready ? "ready" : "offline";
    const char* driver = driver_running_ ? "ready" : "stopped";
    auto discovery = directory_.discovery_users();
    if (as_json) {
        Json json;
        json.object().field("state", state).field("debug", debug_);
        json.key("drivers").object().field("iscsi", driver).end();
        json.key("backing_stores").array();
        for (std::string_view name : backing_stores) json.value(name.substr(0, name.find(' ')));
        json.end().key("device_types").array();
        for (const char* name : device_types) json.value(name);
        json.end().key("discovery_accounts").object().key("incoming").array();
        for (const auto& user : discovery.incoming) json.value(user);
        json.end().key("outgoing");
        if (discovery.outgoing) json.value(*discovery.outgoing);
        else json.null();
        json.end().key("isns").object().field("on", isns_.on).field("server", isns_.server).field("port", isns_.port);
        json.field("access_control", isns_.access_control).end().end();
        return json.take();
    }
    std::string out = "System:\n";
    append(out, "    State: %s\n    debug: %s\nLLDs:\n    iscsi: %s\n    iser: error\nBacking stores:\n", state, debug_ ? "on" : "off",
           driver);
    for (const char* name : backing_stores) append(out, "    %s\n", name);
    out += "Device types:\n";
    for (const char* name : device_types) append(out, "    %s\n", name);
    if (!discovery.incoming.empty()) {
        out += "    Account information:\n\n";
        for (const auto& user : discovery.incoming) append(out, "    %s\n", user.c_str());
        if (discovery.outgoing) append(out, "    %s (outgoing)\n", discovery.outgoing->c_str());
    }
    append(out, "iSNS:\n    iSNS=%s\n    iSNSServerIP=%s\n    iSNSServerPort=%d\n    iSNSAccessControl=%s\n", isns_.on ? "On" : "Off",
           isns_.server.c_str(), isns_.port, isns_.access_control ? "On" : "Off");
    return out;
}

TgtAnswer TgtOps::lld_op(const TgtRequest& r) {
    if (r.op == TgtOp::show) {
        if (!r.json) return {TgtCode::ok, show_lld()};
        Json json;
        json.object().field("iscsi", driver_running_ ? "ready" : "stopped").end();
        return {TgtCode::ok, json.take()};
    }
    if (r.op != TgtOp::start && r.op != TgtOp::stop) return refuse(TgtCode::invalid);
    if (r.lld == "iser") return refuse(r.op == TgtOp::start ? TgtCode::unknown : TgtCode::invalid);
    const bool run = r.op == TgtOp::start;
    if (!run && !directory_.empty()) return refuse(TgtCode::driver_busy);
    if (run == driver_running_) return {};
    if (auto done = daemon_.listen(run); !done) {
        log::error("%s", done.error().text().c_str());
        return refuse(TgtCode::unknown);
    }
    driver_running_ = run;
    return {};
}

std::string TgtOps::show_lld() const {
    std::string out = "LLDs:\n";
    append(out, "    iscsi: %s\n", driver_running_ ? "ready" : "stopped");
    for (const auto& t : directory_.targets()) append(out, "        Target %d: %s\n", t->tid(), t->name().c_str());
    out += "    iser: error\n";
    return out;
}

namespace {

struct Portal {
    std::string host;
    uint16_t port = 3260;
};

// ADDR, ADDR:PORT, [V6], [V6]:PORT, a bare IPv6 address, :PORT.
bool parse_portal(std::string_view text, Portal& out) {
    std::string_view port;
    if (text.starts_with('[')) {
        size_t close = text.find(']');
        if (close == std::string_view::npos) return false;
        out.host = text.substr(1, close - 1);
        std::string_view rest = text.substr(close + 1);
        if (rest.empty()) return !out.host.empty();
        if (rest[0] != ':' || out.host.empty()) return false;
        port = rest.substr(1);
    } else if (std::count(text.begin(), text.end(), ':') == 1) {
        size_t colon = text.find(':');
        out.host = text.substr(0, colon);
        port = text.substr(colon + 1);
    } else {
        out.host = text;
        return !text.empty();
    }
    if (port.empty() || port.size() > 5) return false;
    unsigned number = 0;
    for (char c : port) {
        if (c < '0' || c > '9') return false;
        number = number * 10 + unsigned(c - '0');
    }
    out.port = uint16_t(number);
    return number <= 65535;
}

}  // namespace

// portal=ADDR[:PORT][,portal=…]: as far as the first that fails.
TgtAnswer TgtOps::portal_op(const TgtRequest& r) {
    if (r.op == TgtOp::show) {
        Json json;
        json.array();
        std::string out;
        for (const std::string& p : daemon_.portals()) {
            append(out, "Portal: %s,1\n", p.c_str());
            json.object().field("portal", p).field("group", 1).end();
        }
        json.end();
        return {TgtCode::ok, r.json ? json.take() : out};
    }
    if (r.op != TgtOp::create && r.op != TgtOp::remove) return refuse(TgtCode::invalid);
    const TgtText text = decode_tgt_text(r);
    if (!text.params || text.params->empty()) return refuse(TgtCode::invalid);
    std::string_view rest = *text.params;
    while (!rest.empty()) {
        std::string_view word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        Portal portal;
        if (!word.starts_with("portal=") || !parse_portal(word.substr(7), portal)) return refuse(TgtCode::invalid);
        if (r.op == TgtOp::remove) {
            if (!daemon_.remove_portal(portal.host, portal.port)) return refuse(TgtCode::invalid);
        } else if (auto added = daemon_.add_portal(portal.host, portal.port); !added) {
            log::error("%s", added.error().text().c_str());
            return refuse(TgtCode::invalid);
        }
    }
    return {};
}

}  // namespace iscsi::mgmt
